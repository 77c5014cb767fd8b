"""Executes a step's command as a job of Slurm, over SSH to the machine that has `sbatch`: pods and laptops alike.

bastion.py   the connection: strict host keys, kept alive, made again when it drops
script.py    the batch script and sbatch's options
states.py    what squeue and sacct say, as values
code.py      the commit's tree, as layers that are sent once
staging.py   other files there and back
launcher.py  the verbs: submit, poll, cancel
"""
