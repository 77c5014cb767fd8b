"""Slimming a repository of 1 GB beside git-filter-repo's own options, BFG and git-lfs; and how many trees each of them got wrong.

python tests/benchmarks/slimming.py [--quick]      alone; otherwise `make bench` runs it
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import measure
from measure import Cost
from scenarios import Goal, Plan, Section

ROOT = Path(__file__).resolve().parents[2]
BUILDER = Path(sys.executable).with_name("builder")
LIMIT = 1 << 20
"""Bytes above which a file goes, for everybody."""
_BFG = "com.madgag:bfg:1.14.0"
_RSS = 400  # MB
_STAGES = ("planned", "archived", "rewritten", "verified")


@dataclass(frozen=True, slots=True)
class Shape:
    """A history of the generator: how many commits, and from how many bytes on a file or an LFS object is big."""

    commits: int
    big: int
    lfs: int


ONE_GB = Shape(1500, 1_200_000, 12_000_000)
LONG = Shape(15_000, 4_000, 4_000)
SMALLER = Shape(400, 1_200_000, 2_000_000)


def section(plan: Plan, folder: Path, env: Mapping[str, str], *, quick: bool = False) -> Section:
    """Rounds are few: each writes gigabytes. `folder` is made, and holds all of it."""
    folder.mkdir(exist_ok=True)
    source = made(folder / "source.git", SMALLER if quick else ONE_GB)
    rounds = 1 if quick else 3
    costs: dict[str, list[Cost]] = {}
    stages: list[dict[str, float]] = []
    wrong: dict[str, int] = {}
    for number in plan.each(rounds, least=1):
        for name, way in _ways(source, folder, env, stages):
            work = folder / "work"
            cost, repository = way(work)
            costs.setdefault(name, []).append(cost)
            if number == 0 and repository is not None:
                wrong[name] = wrong_trees(source, repository)
            shutil.rmtree(work)
            plan.log(f"  {name}: {cost.seconds:.2f} s" + (f", {wrong[name]} trees wrong" if name in wrong else ""))
    longest = _long(folder, env, 1500 if quick else LONG.commits, plan)
    goals = list(_goals(costs, stages, wrong, longest))
    commits = len(_git(source, "rev-list", "--all").split())
    named = {name + (f" ({wrong[name]} of {commits} trees wrong)" if name in wrong else ""): found for name, found in costs.items()}
    return Section("Slimming", _text(source, stages, longest), named, goals)


def _text(source: Path, stages: list[dict[str, float]], longest: Mapping[str, float]) -> str:
    commits = len(_git(source, "rev-list", "--all").split())
    objects, large = (_size(source / name) for name in ("objects", "lfs"))
    said = ", ".join(f"{name} {_median(stages, name):.1f} s" for name in ("mirrored", *_STAGES, "recorded", "bundled"))
    return (
        f"A bare repository of {commits:,} hard commits, {objects / 1e6:.0f} MB packed and {large / 1e6:.0f} MB of LFS "
        "objects; files above 1 MiB go. "
        "The others get a fresh clone (not counted), and what their documentation says to run after them. A tree is wrong when it is "
        "lost, lacks a file that is not large, or has at a path what another commit had there; placeholders, pointers and "
        "`.gitattributes` are no error. "
        "What tips contain stays with us alone, and the rewrite copies it into its pack. "
        f"Ours, stage by stage: {said}. With {longest['commits']:.0f} commits: rewritten {longest['rewritten']:.1f} s, "
        f"verified {longest['verified']:.1f} s."
    )


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def _goals(
    costs: Mapping[str, list[Cost]], stages: list[dict[str, float]], wrong: Mapping[str, int], longest: Mapping[str, float]
) -> Iterator[Goal]:
    ours = sum(_median(stages, name) for name in _STAGES)
    walls = {name: measure.median(found, lambda cost: cost.seconds) for name, found in costs.items()}
    yield Goal("analyse + archive + rewrite + verify, by a clone and hashing every byte", ours / walls[_BASE], 1.5, "{:.2f} x")
    yield Goal("the same, by a clone of the local disk and hashing every byte", ours / walls[_LOCAL], 1.5, "{:.2f} x")
    yield Goal("rewrite, by git filter-repo's", _median(stages, "rewritten") / walls[_FILTER], 1.0, "{:.2f} x")
    if _LFS in walls:
        yield Goal("git lfs migrate, by our rewrite", walls[_LFS] / _median(stages, "rewritten"), 5, "{:.1f} x", at_least=True)
    yield Goal("verification of a long history, by its rewrite", longest["verified"] / longest["rewritten"], 2, "{:.2f} x")
    rss = max(longest["rss"], *(cost.rss for cost in costs[_OURS]))
    yield Goal("peak RSS", rss / 1e6, _RSS, "{:.0f} MB")
    yield Goal("trees that we got wrong", wrong[_OURS], 0, "{:.0f}")


def _median(stages: list[dict[str, float]], name: str) -> float:
    found = sorted(each[name] for each in stages)
    return found[len(found) // 2]


# the ways

_OURS = "builder slim-repo, from mirror to bundle"
_BASE = "git clone --mirror --no-local, and sha256 of every byte"
_LOCAL = "git clone --mirror, and sha256 of every byte"
_FILTER = "git filter-repo --strip-blobs-bigger-than"
_BFG_NAME = "BFG --strip-blobs-bigger-than"
_LFS = "git lfs migrate import --everything --above"

Way = Callable[[Path], tuple[Cost, "Path | None"]]


def _ways(source: Path, folder: Path, env: Mapping[str, str], stages: list[dict[str, float]]) -> Iterator[tuple[str, Way]]:
    yield _OURS, lambda work: _ours(source, work, env, stages)
    yield _BASE, lambda work: (_cloned_and_hashed(source, work, env, "--no-local"), None)
    yield _LOCAL, lambda work: (_cloned_and_hashed(source, work, env), None)
    filter_repo = [sys.executable, "-m", "git_filter_repo", "--force", "--quiet", "--strip-blobs-bigger-than", str(LIMIT)]
    yield _FILTER, lambda work: _other(source, work, env, [filter_repo])
    jar = _bfg(folder)
    if jar is not None:
        bfg = ["java", "-jar", str(jar), "--no-blob-protection", "--strip-blobs-bigger-than", str(LIMIT), "."]
        clean = ["git", "gc", "--quiet", "--prune=now"]
        yield _BFG_NAME, lambda work: _other(source, work, env, [bfg, ["git", "reflog", "expire", "--expire=now", "--all"], clean])
    if shutil.which("git-lfs"):
        migrate = ["git", "lfs", "migrate", "import", "--everything", f"--above={LIMIT}B", "--yes"]
        yield _LFS, lambda work: _other(source, work, env, [migrate])


def _ours(source: Path, work: Path, env: Mapping[str, str], stages: list[dict[str, float]]) -> tuple[Cost, Path]:
    words = [str(BUILDER), "slim-repo", str(source), "--work", str(work / "slim"), "--archive", str(work / "archive")]
    first = measure.run([*words, "--drop-over", str(LIMIT), "-o", "json"], env=env)
    second = measure.run([*words, "--approve", json.loads(first.stdout)["approve"]], env=env)
    stages.append(json.loads(measure.run([*words, "--status", "-o", "json"], env=env).stdout)["seconds"])
    both = Cost(first.seconds + second.seconds, first.cpu + second.cpu, max(first.rss, second.rss))
    return both, work / "slim" / "slim.git"


def _cloned_and_hashed(source: Path, work: Path, env: Mapping[str, str], *options: str) -> Cost:
    work.mkdir()
    script = 'git clone --quiet --mirror "${@:3}" "$1" "$2" && find "$2" "$1/lfs" -type f -print0 | xargs -0 sha256sum >"$2/sums"'
    return measure.run(["bash", "-c", script, "clone", str(source), str(work / "mirror.git"), *options], env=env)


def _other(source: Path, work: Path, env: Mapping[str, str], commands: list[list[str]]) -> tuple[Cost, Path]:
    """In a fresh clone, of which only branches and tags that are commits are left: not everybody can do with more."""
    repository = work / "clone.git"
    work.mkdir()
    subprocess.run(["git", "clone", "--quiet", "--bare", "--no-local", str(source), str(repository)], check=True, env=env)
    for name in ("trees", "trees-annotated", "blobs"):
        _git(repository, "tag", "-d", name)
    os.sync()
    costs = [measure.run(command, cwd=repository, env=env) for command in commands]
    return Cost(sum(cost.seconds for cost in costs), sum(cost.cpu for cost in costs), max(cost.rss for cost in costs)), repository


def _bfg(folder: Path) -> Path | None:
    """Through Maven's own client, where that and a Java are."""
    jar = folder / "bfg" / f"{_BFG.split(':')[1]}-{_BFG.rpartition(':')[2]}.jar"
    if not jar.exists() and shutil.which("mvn") and shutil.which("java"):
        copy = ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={_BFG}", f"-DoutputDirectory={jar.parent}"]
        subprocess.run(copy, check=False, capture_output=True)
    return jar if jar.exists() else None


def _long(folder: Path, env: Mapping[str, str], commits: int, plan: Plan) -> dict[str, float]:
    """A long history of small files: what counts is the number of commits."""
    plan.log(f"  {commits} commits")
    source, work = made(folder / "long.git", Shape(commits, LONG.big, LONG.lfs)), folder / "long"
    words = [str(BUILDER), "slim-repo", str(source), "--work", str(work / "slim"), "--archive", str(work / "archive")]
    first = measure.run([*words, "--drop-over", str(LONG.big), "-o", "json"], env=env)
    second = measure.run([*words, "--approve", json.loads(first.stdout)["approve"]], env=env)
    told: dict[str, float] = json.loads(measure.run([*words, "--status", "-o", "json"], env=env).stdout)["seconds"]
    shutil.rmtree(work)
    return {**told, "rss": max(first.rss, second.rss), "commits": float(commits)}


def made(directory: Path, shape: Shape) -> Path:
    """In a process of its own, whose memory is not ours; packed as a server would."""
    code = "import sys; from pathlib import Path; from tests.fixtures.slim_history import make; "
    code += "make(Path(sys.argv[1]), int(sys.argv[2]), big=int(sys.argv[3]), lfs=int(sys.argv[4]))"
    subprocess.run([sys.executable, "-c", code, str(directory), str(shape.commits), str(shape.big), str(shape.lfs)], check=True, cwd=ROOT)
    _git(directory, "-c", "core.bigFileThreshold=1m", "gc", "--quiet")
    return directory


# how many trees are wrong


def wrong_trees(source: Path, repository: Path) -> int:
    """One that is not there any more is wrong, too."""
    old, new = (_git(directory, "rev-list", "--topo-order", "--reverse", "--branches").split() for directory in (source, repository))
    sizes = _sizes(source)
    pairs = _paired(source, repository, old, new)
    return sum(is_wrong(before, after, sizes) for before, after in pairs)


def _paired(source: Path, repository: Path, old: list[str], new: list[str]) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """By their dates, which are unique in these histories."""
    found = dict(zip(_labels(repository, new), new, strict=True))
    for label, sha in zip(_labels(source, old), old, strict=True):
        yield _files(source, sha), _files(repository, found[label]) if label in found else {}


def _labels(directory: Path, commits: list[str]) -> list[str]:
    shown = _git(directory, "log", "--no-walk=unsorted", "--stdin", "--format=%at %ct", stdin="\n".join(commits))
    return shown.splitlines()


def _files(directory: Path, commit: str) -> dict[str, str]:
    lines = _git(directory, "ls-tree", "-r", "-z", "--full-tree", commit).split("\0")
    return {line.partition("\t")[2]: line.split()[2] for line in lines if line}


def _sizes(directory: Path) -> dict[str, int]:
    lines = _git(directory, "cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objectsize)").splitlines()
    return {name: int(size) for name, _, size in (line.partition(" ") for line in lines)}


def is_wrong(before: Mapping[str, str], after: Mapping[str, str], sizes: Mapping[str, int]) -> bool:
    """A small file that is lost or other; or, where a large one was, something that the source knows under another commit."""
    for path, blob in before.items():
        now = after.get(path)
        large = sizes.get(blob, 0) > LIMIT
        if now != blob and (not large or now in sizes) and path != ".gitattributes":
            return True
    return any(path not in before and blob in sizes for path, blob in after.items())


def _git(directory: Path, *words: str, stdin: str = "") -> str:
    done = subprocess.run(["git", "-C", str(directory), *words], input=os.fsencode(stdin), check=True, capture_output=True)
    return os.fsdecode(done.stdout)


def main() -> None:
    """Prints the section's figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a smaller history, once")
    options = parser.parse_args()
    began = time.monotonic()
    plan = Plan(3, began + 1200, lambda text: print(f"{time.monotonic() - began:4.0f} s  {text}", file=sys.stderr, flush=True))
    with tempfile.TemporaryDirectory(prefix="builder-slim-") as name:
        import report

        found = section(plan, Path(name), {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}, quick=options.quick)
        print(report.page([], [found], {}, []).partition("## Goals")[2])


if __name__ == "__main__":
    main()
