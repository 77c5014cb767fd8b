"""How the ranks of a gang find each other: the variables that torchrun, torch.distributed and their like read. Described for users in
docs/reference/contract.md.

A command is begun once on every node. `torchrun train.py` takes everything from the PET_* (https://docs.pytorch.org/docs/stable/elastic/run.html),
and gives its own children RANK and WORLD_SIZE; a command that starts no others has these two from here: one process a node.
"""

from __future__ import annotations

PORT = 29500
"""Of rank 0, where nobody else can have it: torch's own default."""

OF_THE_FIRST = ("BUILDER_METRICS", "BUILDER_OUTBOX")
"""Files that rank 0 alone writes: what the others write there goes nowhere."""


def same_for_all(nodes: int, gpus_per_node: int) -> dict[str, str]:
    """What does not depend on the rank, nor on where rank 0 is."""
    ours = {"NNODES": str(nodes), "WORLD_SIZE": str(nodes), "LOCAL_RANK": "0", "GPUS_PER_NODE": str(gpus_per_node)}
    return {**ours, "PET_NNODES": str(nodes), "PET_NPROC_PER_NODE": str(gpus_per_node or 1)}


def where(address: str, port: int = PORT) -> dict[str, str]:
    """Where rank 0 listens."""
    told = {"MASTER_ADDR": address, "MASTER_PORT": str(port)}
    return {**told, **{f"PET_{name}": value for name, value in told.items()}}


def who(rank: int) -> dict[str, str]:
    """Which one a process is; the node's number is the process's."""
    return {name: str(rank) for name in ("RANK", "NODE_RANK", "PET_NODE_RANK")}
