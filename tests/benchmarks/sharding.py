"""How many layers the code of each commit has, and how many new bytes: from the plan alone, on any repository.

python sharding.py REPOSITORY COMMITS        prints JSON
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from itertools import chain, islice, pairwise
from pathlib import Path

import measure

from builder.image.shards import FULL, LARGE, Shard, split_tree
from builder.model.tree import Entry
from builder.source.repository import Git

_ABSENT = 3_000_000
"""Taken for a blob that this clone lacks."""
_BLOCK = 512


def main(repository: Path, count: int) -> dict[str, float]:
    """Statistics over the newest `count` first-parent commits. Bytes are of uncompressed tars."""
    with Git.open(repository) as git:
        head = git.resolve("HEAD")
        commits = list(islice(chain([head], git.ancestors(head)), count + 1))[::-1]
        trees = [git.entries(commit) for commit in commits]
        sizes = _sizes(git.git_dir, chain.from_iterable(trees))
    plans = [_plan(entries, sizes) for entries in trees]
    new = [sum(size for key, size in plan.items() if key not in before) for before, plan in pairwise(plans)]
    return {
        "commits": len(new),
        "files": len(trees[-1]),
        "bytes": sum(sizes[entry.oid] for entry in trees[-1]),
        "layers": max(len(plan) for plan in plans),
        "median": statistics.median(new),
        "p90": measure.percentile(new, 0.9),
    }


def _plan(entries: Sequence[Entry], sizes: dict[str, int]) -> dict[str, int]:
    """Shard key -> bytes of its tar."""
    large = {entry.oid: sizes[entry.oid].bit_length() for entry in entries if sizes[entry.oid] >= LARGE}
    return {shard.key("/code"): _tar_size(shard, sizes) for shard in split_tree(entries, large, FULL)}


def _tar_size(shard: Shard, sizes: dict[str, int]) -> int:
    return sum(_BLOCK + -(-sizes[entry.oid] // _BLOCK) * _BLOCK for entry in shard.entries) + 2 * _BLOCK


def _sizes(git_dir: Path, entries: Iterable[Entry]) -> dict[str, int]:
    asked = "".join(f"{oid}\n" for oid in {entry.oid for entry in entries})
    argv = ["git", "--git-dir", str(git_dir), "cat-file", "--batch-check=%(objectname) %(objectsize)"]
    lines = subprocess.run(argv, input=asked, capture_output=True, check=True, text=True).stdout.splitlines()
    return {oid: int(size) if size.isdigit() else _ABSENT for oid, _, size in (line.partition(" ") for line in lines)}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]))))
