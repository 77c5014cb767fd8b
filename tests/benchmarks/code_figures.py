"""What it costs to bring a change of one file to a cluster, through its bastion: seconds, and bytes on the way there."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import measure
from measure import Cost
from scenarios import Goal, Plan, Section

from tests.fixtures.proxy import Proxy

TOP = Path(__file__).parents[2]
_TITLE = "A change of one file, to the cluster"
_NEEDED = {"BUILDER_TEST_SLURM", "BUILDER_TEST_SLURM_SSH"}
_BRING = """import sys
from pathlib import Path
from builder.launch.slurm.bastion import Bastion
from builder.launch.slurm.code import bring_code, tree_of
from builder.settings import SlurmSettings
bastion, root, key, known, tree = sys.argv[1:]
there = Bastion(SlurmSettings(bastion=bastion, user="root", root=root, identity_file=key, known_hosts=known))
bring_code(there, tree_of(Path(tree)))
there.close()
"""


@dataclass(frozen=True, slots=True)
class Way:
    """A bastion behind a proxy that counts, with its keys; `root` is a directory there."""

    proxy: Proxy
    keys: Path
    known: Path
    root: Path

    def ssh(self) -> str:
        words = ["ssh", "-F", "none", "-i", str(self.keys / "user"), "-o", f"UserKnownHostsFile={self.known}", "-p", str(self.proxy.port)]
        return shlex.join([*words, "-o", "BatchMode=yes"])


def section(plan: Plan, env: Mapping[str, str], repository: Path) -> Section | None:
    """None where there is no Slurm."""
    if not set(env) >= _NEEDED:
        return None
    with tempfile.TemporaryDirectory(prefix="builder-bench-") as name:
        folder = Path(name)
        host, _, port = env["BUILDER_TEST_SLURM"].partition(":")
        proxy = Proxy((host, int(port)))
        try:
            known = folder / "known_hosts"
            keys = Path(env["BUILDER_TEST_SLURM_SSH"])
            known.write_text((keys / "known_hosts").read_text().replace(f":{port} ", f":{proxy.port} "))
            ways = _measured(plan, Way(proxy, keys, known, folder / "cluster"), _tree(repository, folder / "tree"))
        finally:
            proxy.close()
    ours = ways["builder, layers by content"]
    goals = [Goal("wall", measure.median(ours, lambda cost: cost.seconds), 2.0, "{:.2f} s")]
    goals.append(Goal("MB sent", measure.median(ours, lambda cost: cost.sent) / 1e6, 1.0, "{:.2f}"))
    text = (
        "The tree of the repository's newest commit, in which one file changed since it was brought last; each time a process of its own, "
        "with a connection of its own. `sent` is what went through the connection. rsync compares by checksum, as files have no times of "
        "their own in git, and links what did not change."
    )
    return Section(_TITLE, text, ways, goals)


def _tree(repository: Path, tree: Path) -> Path:
    tree.mkdir()
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=repository, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(tree)], input=archive, check=True)
    return tree


def _measured(plan: Plan, way: Way, tree: Path) -> dict[str, list[Cost]]:
    file = next(path for path in sorted(tree.rglob("*")) if path.is_file() and path.stat().st_size < 100_000)
    argvs: dict[str, Callable[[int], list[str]]] = {
        "builder, layers by content": lambda _: _bring(way, tree),
        "rsync --checksum --link-dest": lambda number: _rsync(way, tree, number),
        "tar through ssh": lambda number: _tar(way, tree, number),
    }
    found: dict[str, list[Cost]] = {}
    for name, argv in argvs.items():
        _counted(way, argv(-1))  # the tree before the change
        found[name] = []
        for number in plan.each(plan.rounds):
            with file.open("a") as text:
                text.write(f"# {name} {number}\n")
            found[name].append(_counted(way, argv(number)))
        plan.log(f"{_TITLE}: {name}: {measure.median(found[name], lambda cost: cost.seconds):.2f} s")
    return found


def _counted(way: Way, argv: list[str]) -> Cost:
    before = way.proxy.sent
    cost = measure.run(argv, env={**os.environ, "PYTHONPATH": str(TOP)})
    return replace(cost, sent=way.proxy.sent - before)


def _bring(way: Way, tree: Path) -> list[str]:
    words = [f"127.0.0.1:{way.proxy.port}", f"{way.root}/ours", str(way.keys / "user"), str(way.known), str(tree)]
    return [sys.executable, "-c", _BRING, *words]


def _rsync(way: Way, tree: Path, number: int) -> list[str]:
    target = way.root / "rsync"
    target.mkdir(parents=True, exist_ok=True)
    options = ["-rlpz", "--checksum", f"--link-dest={target}/{number - 1}", "-e", way.ssh()]
    return ["rsync", *options, f"{tree}/", f"root@127.0.0.1:{target}/{number}/"]


def _tar(way: Way, tree: Path, number: int) -> list[str]:
    target = shlex.quote(str(way.root / f"tar/{number}"))
    there = shlex.quote(f"mkdir -p {target} && tar -xz -C {target}")
    return ["bash", "-c", f"tar -c -C {shlex.quote(str(tree))} . | gzip -1 | {way.ssh()} root@127.0.0.1 {there}"]
