"""The flow *housekeep*: clears away what nothing needs any more, in the cluster of Argo and on Slurm's side. Nothing of the data root.

things.py       what there is, and what needs it, as frozen values
plan.py         from these to what goes and what stays, with the reason: pure functions
slurm_side.py   directories and files below the roots of Slurm's clusters: listed, and removed
argo_side.py    workflows and templates: listed, and removed
housekeep.py    all of it
"""
