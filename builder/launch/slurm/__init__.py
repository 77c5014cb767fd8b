"""Executes a step's command as a job of Slurm, over SSH to the machine that has `sbatch`: pods and laptops alike.

bastion.py   the connection: strict host keys, kept alive, made again when it drops
attempt.py   everything that a job needs, before it is submitted
script.py    the batch script and sbatch's options; containers.py, inside.py: what runs the command in an image
code.py      the commit's tree, as layers that are sent once
luggage.py   what moves checkpoints in a job, on its way there; aboard.py: what it does there
staging.py   other files there and back
states.py    what squeue and sacct say, as values
launcher.py  the verbs: submit, poll, cancel
"""
