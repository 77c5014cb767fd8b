"""What CI costs: the whole job that makes an image, on a cold machine, beside the same with Docker; and what commits take to store."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cold_docker
import measure
from measure import Cost
from peers import HERE, Bench, Ours, furnish, git, measured
from scenarios import Plan, Section

_ROUNDS = 3
_STORED = 100
_SAMPLES = 10
_MB = 1_000_000
_BUILDER, _DOCKER = "the job with builder", "the same job with Docker and BuildKit"
JOB, STORAGE = "A whole CI job, from a cold machine", "Storage for a thousand commits"
_NEEDED = {"BUILDER_TEST_DOCKER", "BUILDER_TEST_CONTAINERD", "BUILDER_TEST_CRANE"}


@dataclass(slots=True)
class Stages:
    """Of one job: the seconds and the bytes that came or went over a network, by stage, of each round."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    moved: dict[str, list[int]] = field(default_factory=dict)
    totals: list[Cost] = field(default_factory=list)

    def add(self, found: Mapping[str, tuple[Cost, int]]) -> None:
        for name, (cost, moved) in found.items():
            self.seconds.setdefault(name, []).append(cost.seconds)
            self.moved.setdefault(name, []).append(moved)
        costs = [cost for cost, _ in found.values()]
        self.totals.append(
            Cost(
                sum(cost.seconds for cost in costs),
                sum(cost.cpu for cost in costs),
                max(cost.rss for cost in costs),
                daemon_cpu=sum(cost.daemon_cpu for cost in costs),
                sent=costs[-1].sent,
                requests=costs[-1].requests,
            )
        )

    def bytes(self) -> float:
        return sum(_median(values) for values in self.moved.values())


def job(bench: Bench, plan: Plan, env: Mapping[str, str]) -> Section | None:
    """None where there is no containerd for an engine of its own."""
    if not set(env) >= _NEEDED:
        return None
    ours, theirs = Stages(), Stages()
    with tempfile.TemporaryDirectory(prefix="builder-bench-") as name:
        folder = Path(name)
        plan.log("  the wheels of the tool (not measured)")
        wheels = _wheels(folder)
        furnish(bench, "bench/job")
        measured(bench, Ours(bench), bench.commits[-2 - _ROUNDS], "bench/job")
        for number in plan.each(_ROUNDS):
            commit = bench.commits[-1 - _ROUNDS + number]
            git(bench.repository, "branch", "--force", "pushed", commit)
            ours.add(_with_builder(bench, folder / f"builder-{number}", wheels, commit))
            theirs.add(_with_docker(bench, folder / f"docker-{number}", env, commit))
            plan.log(f"  round {number}: {ours.totals[-1].seconds:.1f} s, {theirs.totals[-1].seconds:.1f} s")
    ways = {_BUILDER: ours.totals, _DOCKER: theirs.totals}
    return Section(JOB, _job_text(bench, ours, theirs), ways)


def _with_builder(bench: Bench, folder: Path, wheels: Path, commit: str) -> dict[str, tuple[Cost, int]]:
    """As the job `image` of `builder init --ci` does it: a blobless checkout, the tool from its wheels, one command."""
    folder.mkdir()
    env = {**bench.env, "XDG_CACHE_HOME": str(folder / "cache"), "PIP_NO_CACHE_DIR": "1", "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    env = {key: value for key, value in env.items() if key not in ("PIP_FIND_LINKS", "VIRTUAL_ENV")}
    clone, venv = folder / "clone", folder / "venv"
    cloned = _clone(bench, clone, "--filter=blob:none")
    script = '"$0" -m venv "$1" && "$1/bin/pip" install --quiet --no-compile --no-index --find-links "$2" anycommit'
    installed = measure.run(["bash", "-c", script, sys.executable, str(venv), str(wheels)], env=env)
    target, mark = f"{bench.registry.host}/bench/job", bench.registry.mark()
    argv = [str(venv / "bin/builder"), "image", "--repo", str(clone), "--missing", "--to", target, "--base", bench.base]
    made = measure.run(argv, env=env)
    made = replace(made, requests=bench.registry.requests_since(mark), sent=bench.registry.new_bytes("bench/job", commit))
    came = _size(clone / ".git")
    shutil.rmtree(folder)
    return {
        "clone": (cloned, came),
        "the tool, or the base": (installed, _size(wheels)),
        "build and push": (made, made.sent),
    }


def _with_docker(bench: Bench, folder: Path, env: Mapping[str, str], commit: str) -> dict[str, tuple[Cost, int]]:
    """A whole clone, an engine that has nothing, `docker build` on the base, `docker push`."""
    folder.mkdir()
    clone, name = folder / "clone", f"{bench.registry.host}/bench/docker-job:{commit}"
    cloned = _clone(bench, clone)
    came = _size(clone / ".git")
    (folder / "Dockerfile").write_text(f"FROM {bench.base}\nCOPY . /code\n")
    (folder / "Dockerfile.dockerignore").write_text(".git\n")
    furnish(bench, "bench/docker-job")
    docker = env["BUILDER_TEST_DOCKER"]
    with cold_docker.engine(docker, env["BUILDER_TEST_CONTAINERD"], bench.registry.host) as socket:
        own = {**bench.env, "DOCKER_HOST": socket, "DOCKER_BUILDKIT": "1"}
        daemons = [measure.listener(socket)]
        pulled = _timed(daemons, [docker, "pull", "--quiet", bench.base], own)
        argv = [docker, "build", "--quiet", "--file", str(folder / "Dockerfile"), "--tag", name, str(clone)]
        built = _timed(daemons, argv, own)
        mark = bench.registry.mark()
        pushed = _timed(daemons, [docker, "push", "--quiet", name], own)
        requests = bench.registry.requests_since(mark)
    sent = bench.registry.new_bytes("bench/docker-job", commit)
    work = Cost(
        built.seconds + pushed.seconds,
        built.cpu + pushed.cpu,
        max(built.rss, pushed.rss),
        daemon_cpu=built.daemon_cpu + pushed.daemon_cpu,
        sent=sent,
        requests=requests,
    )
    shutil.rmtree(folder)
    return {"clone": (cloned, came), "the tool, or the base": (pulled, _base_size(bench)), "build and push": (work, sent)}


def _clone(bench: Bench, clone: Path, *options: str) -> Cost:
    argv = ["git", "clone", "--quiet", "--branch", "pushed", *options, bench.repository.as_uri(), str(clone)]
    return measure.run(argv, env=bench.env)


def _timed(daemons: Sequence[int], argv: Sequence[str], env: Mapping[str, str]) -> Cost:
    before = measure.cpu_of(daemons)
    cost = measure.run(argv, env=env)
    return replace(cost, daemon_cpu=measure.cpu_of(daemons) - before)


def _wheels(folder: Path) -> Path:
    """Ours, and what it needs, as pip would download them."""
    wheels = folder / "wheels"
    uv = Path(sys.executable).with_name("uv")
    quiet = {"check": True, "capture_output": True}
    subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", wheels, HERE.parents[1]], **quiet)  # type: ignore[call-overload]
    (own,) = wheels.glob("*.whl")
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", wheels, own], **quiet)  # type: ignore[call-overload]
    return wheels


def _base_size(bench: Bench) -> int:
    """Compressed, as an engine pulls it."""
    name, _, digest = bench.base.partition("/")[2].partition("@")
    found, size = bench.registry.manifest(name, digest)
    return size + sum(int(layer["size"]) for layer in (found["config"], *found["layers"]))


def _job_text(bench: Bench, ours: Stages, theirs: Stages) -> str:
    rows = [
        f"| {stage} | {_median(ours.seconds[stage]):.1f} s | {_mb(_median(ours.moved[stage]))} "
        f"| {_median(theirs.seconds[stage]):.1f} s | {_mb(_median(theirs.moved[stage]))} |"
        for stage in ours.seconds
    ]
    walls = [_median([cost.seconds for cost in stages.totals]) for stages in (ours, theirs)]
    rows.append(f"| all | {walls[0] / 60:.2f} min | {_mb(ours.bytes())} | {walls[1] / 60:.2f} min | {_mb(theirs.bytes())} |")
    return (
        "Each round: one commit is pushed, and a machine that has nothing makes its image; its parent has one. Ours is what the job "
        "`image` of `builder init --ci` does: a blobless clone with its working tree, a new virtual environment with the tool from its "
        "wheels, `builder image --missing`. Theirs is a whole clone, a Docker engine that was just started, `docker pull` of the base "
        "(what `docker build` would pull first), `docker build` with BuildKit and `COPY`, `docker push`. Everything is on this machine: "
        "bytes are those that would cross a network, and seconds have none of it in them. The base is "
        f"{_mb(_base_size(bench))} compressed; NVIDIA's PyTorch image has about 10 GB. That a machine has to be given first, with Docker "
        "or without, is in neither figure.\n\n"
        "| | builder | moved | Docker | moved |\n|---|--:|--:|--:|--:|\n" + "\n".join(rows)
    )


# --- storage --------------------------------------------------------------------------------------------------------------------------


def storage(bench: Bench, plan: Plan) -> Section:
    """Bytes of the distinct blobs of a hundred commits in a row, beside images that hold the code in one layer."""
    ours, target = Ours(bench), "bench/storage"
    first, commits = bench.commits[-1 - _STORED], bench.commits[-_STORED:]
    furnish(bench, target)
    measured(bench, ours, first, target)
    ours.push(commits[-1], f"{bench.registry.host}/{target}", "--missing", "--since", first)
    sizes = [bench.registry.new_bytes(target, commit) for commit in commits]
    whole = [_whole_layer(bench, commit) for commit in commits[:: _STORED // _SAMPLES]]
    each, layer = sum(sizes) / _STORED, sum(whole) / len(whole)
    text = (
        f"The last {_STORED} commits of the repository, in a row. Ours: what the registry holds for them beyond base, tool and the commit "
        "before, every blob once: layers, configs and manifests. *One layer*: images whose code is one layer of its own, which no two "
        f"commits share, as `COPY . /code` makes it; measured on every {_STORED // _SAMPLES}th of these commits (`git archive | gzip -6`, "
        "which is how Docker compresses), as one is as large as the next. A thousand commits are ten times the hundred: an extrapolation, "
        "not a measurement. What `builder gc` takes away is not in it.\n\n"
        "| | of one commit, mean | a hundred commits | a thousand, extrapolated |\n|---|--:|--:|--:|\n"
        f"| builder | {each / _MB:.2f} MB | {sum(sizes) / 1e9:.2f} GB | {10 * sum(sizes) / 1e9:.1f} GB |\n"
        f"| one layer | {layer / _MB:.2f} MB | {layer * _STORED / 1e9:.2f} GB | {10 * layer * _STORED / 1e9:.1f} GB |\n\n"
        f"One layer takes {layer / each:.0f} times as much."
    )
    plan.log(f"  {each / _MB:.2f} MB of a commit, {layer / _MB:.2f} MB as one layer")
    return Section(STORAGE, text)


def _whole_layer(bench: Bench, commit: str) -> int:
    script = 'set -o pipefail; git -C "$0" archive --prefix=code/ "$1" | gzip -6 | wc --bytes'
    return int(subprocess.run(["bash", "-c", script, str(bench.repository), commit], check=True, capture_output=True).stdout)


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file() and not path.is_symlink())


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def _mb(count: float) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / _MB:.1f} MB"


@contextlib.contextmanager
def _alone() -> Iterator[Bench]:
    """With the small base where the padded one is not up."""
    import run

    os.environ.setdefault("BUILDER_TEST_BIG_BASE", os.environ["BUILDER_TEST_BASE"])
    with run._bench() as bench:
        yield bench


if __name__ == "__main__":  # these figures alone, on the terminal
    import time

    import report

    with _alone() as alone:
        quick = Plan(3, time.monotonic() + 3600, lambda text: print(text, file=sys.stderr, flush=True))
        for section in filter(None, (storage(alone, quick), job(alone, quick, os.environ))):
            print(f"## {section.title}\n\n{section.text}\n")
            if section.ways:
                print(report._table(section.ways) + "\n")
