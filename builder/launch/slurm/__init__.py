"""Executes a step's command as a job of Slurm, over SSH to the machine that has `sbatch`: pods and laptops alike.

bastion.py   the connection: strict host keys, kept alive, made again when it drops
script.py    the batch script and sbatch's options
states.py    what squeue and sacct say, as values
staging.py   files there and back
launcher.py  the verbs: submit, poll, cancel
"""
