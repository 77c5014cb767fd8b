"""The flow *watch*: looks at jobs, workflows and runs, and tells what nobody else tells.

facts.py      what there is, as frozen values
look.py       asks Slurm, Argo, and the data root for them
findings.py   from facts to what is wrong: pure functions
news.py       what of that is new, and what is over: no repeats
journal.py    what was told, in the data root: of two that look at once one tells
act.py        what is put right: jobs cancelled whose run was stopped, ends written that nobody wrote
wording.py    the digest
watch.py      all of it
"""
