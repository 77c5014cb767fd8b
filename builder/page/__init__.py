"""One file to look at: commits, images, runs and scores, what goes on and what went wrong; read-only, and without any network.

facts.py      what the page tells, as frozen values
history.py    commits, from git
images.py     images of commits and what they weigh, from the store
nights.py     which schedules ran on which days
gather.py     asks git, the store, the data root, Argo and Slurm: what cannot be asked is a note on the page
document.py   facts as compact JSON
html.py       the JSON and the files of web/ as one file
flow.py       the nightly step that writes it to the data root
"""
