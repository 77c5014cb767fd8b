"""Executes a step's command as a JobSet: a gang of pods of the commit's image, which Kueue lets begin together or not at all.

manifest.py  the JobSet
states.py    what JobSet, Kueue's Workload and pods say, as values
files.py     what travels through the data root: the job, what it reads and leaves, how its ranks ended
logs.py      what the pods write, as one log
launcher.py  the verbs: submit, poll, cancel

What each pod runs is builder/steps/rank.py.
"""
