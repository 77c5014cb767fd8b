"""What begins a command on every node of a job: the lines before it, and the words in front of it.

The names that each rank finds are those of builder/launch/rendezvous.py. How the first rank that failed ended is left in `../failed`: it is
how the job ended, while srun names the highest code, which is often that of a rank which it killed because of the first.
"""

from __future__ import annotations

import shlex

from builder.launch.rendezvous import OF_THE_FIRST, same_for_all
from builder.settings import SlurmSettings

_RANK = """export NODE_RANK=$SLURM_NODEID PET_NODE_RANK=$SLURM_NODEID RANK=$SLURM_PROCID
[ "$RANK" = 0 ] || export {others}
"$@"
code=$?
[ $code = 0 ] || (set -C && echo $code >{failed}) 2>/dev/null
exit $code
"""

# Nodes are reached under NodeAddr, which is their name unless the cluster's configuration says otherwise. Two gangs may share a node: the
# port depends on the job. srun has not taken over sbatch's --cpus-per-task since 22.05.
_BEFORE = """first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(scontrol -o show node "$first" | sed -n 's/.* NodeAddr=\\([^ ]*\\).*/\\1/p')
export MASTER_ADDR=${{address:-$first}} MASTER_PORT=$((20000 + SLURM_JOB_ID % 12000)) {same}
export PET_MASTER_ADDR=$MASTER_ADDR PET_MASTER_PORT=$MASTER_PORT
srun --nodes={nodes} --ntasks={nodes} --ntasks-per-node=1 ${{SLURM_CPUS_PER_TASK:+--cpus-per-task=$SLURM_CPUS_PER_TASK}} \\
    --kill-on-bad-exit=1 --label {more}bash -c {rank} rank """


def on_every_node(settings: SlurmSettings, more: str = "", failed: str = "../failed") -> str:
    """Shell that stands right before a command's words. Nothing where there is one node. `more` are options of srun, as shell text;
    `failed` is where a rank finds the file of that name in the job's directory.
    """
    if settings.nodes < 2:
        return ""
    same = " ".join(f"{name}={value}" for name, value in same_for_all(settings.nodes, settings.gpus_per_node).items())
    others = " ".join(f"{name}=/dev/null" for name in OF_THE_FIRST)
    rank = shlex.quote(_RANK.format(others=others, failed=failed))
    return _BEFORE.format(same=same, nodes=settings.nodes, more=more, rank=rank)
