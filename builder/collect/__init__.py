"""Clean-up (`builder gc`): what nothing needs any more goes, and nothing else does.

things.py       what might go, and what was decided of it, whatever it is
needs.py        what is needed, and by whom
scene.py        where things lie and who is asked, opened once for all kinds
sources.py      asks every source what it needs; one that does not answer stops everything
git_side.py, cluster_side.py, archive_side.py, slurm_side.py, data_side.py   one source each
kinds.py        the kinds of things, each of which is a module with a `Collector`
templates.py, kept_house.py   what housekeep clears away, by hand
runs.py, logs.py              run_facts.py reads the data root, run_law.py decides (pure), run_removal.py takes runs away whole
checkouts.py                  local_runs.py looks at this machine, checkout_law.py decides (pure)
checkpoints.py                checkpoint_facts.py reads, checkpoint_law.py decides (pure); builder/data/turns.py keeps writers out
images.py       images in a store: manifests.py reads them, strangers.py finds those that nobody here can judge, reach.py decides (pure),
                unneeded.py remembers since when nothing needs them
"""
