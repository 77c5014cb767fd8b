"""The ways to get a commit into a registry, side by side: each takes a commit and leaves an image there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import measure
from measure import Cost
from registry import Registry

BUILDER = Path(sys.executable).with_name("builder")
HERE = Path(__file__).parent
CRANE = "git archive, crane append"


@dataclass(frozen=True, slots=True)
class Bench:
    """What every way works with. `base` is in the registry, named by digest; `commits` are the first-parent line, oldest first;
    `tiny` is a repository of one small file: what it leaves in a repository of the registry is base and tool layers, and nothing else.
    """

    folder: Path
    repository: Path
    tiny: Path
    commits: Sequence[str]
    registry: Registry
    base: str
    env: Mapping[str, str]


class Way(Protocol):
    """`prepare` brings the commit to where the way reads it from and is not measured."""

    @property
    def name(self) -> str: ...

    def prepare(self, commit: str) -> None: ...

    def push(self, commit: str, target: str) -> Cost: ...


def furnish(bench: Bench, target: str) -> None:
    """Mounts the base into a repository of the registry, as after the first image there."""
    copy = [bench.env["BUILDER_TEST_CRANE"], "copy", bench.base, f"{bench.registry.host}/{target}:base"]
    measure.run(copy, env=bench.env)
    bench.registry.new_bytes(target, "base")


def measured(bench: Bench, way: Way, commit: str, target: str) -> Cost:
    """Pushes a commit to the repository `target` of the registry, and completes the cost with what the registry saw."""
    way.prepare(commit)
    os.sync()  # what others have written is not to be waited for by this one
    mark = bench.registry.mark()
    cost = way.push(commit, f"{bench.registry.host}/{target}")
    requests = bench.registry.requests_since(mark)
    return replace(cost, requests=requests, sent=bench.registry.new_bytes(target, commit))


@dataclass(frozen=True, slots=True)
class Ours:
    """`builder image`. `repository` and `cache` replace the bench's own."""

    bench: Bench
    repository: Path | None = None
    cache: Path | None = None
    name: str = "builder image"

    def prepare(self, commit: str) -> None: ...

    def argv(self, commit: str, target: str, *more: str) -> list[str]:
        """The arguments after the program's name."""
        where = str(self.repository or self.bench.repository)
        return ["image", "--repo", where, "--commit", commit, "--to", target, "--base", self.bench.base, *more]

    def environment(self) -> dict[str, str]:
        return {**self.bench.env, **({"XDG_CACHE_HOME": str(self.cache)} if self.cache else {})}

    def push(self, commit: str, target: str, *more: str) -> Cost:
        return measure.run([str(BUILDER), *self.argv(commit, target, *more)], env=self.environment())


@dataclass(frozen=True, slots=True)
class Limit:
    """limit.py: no image of the commit, but the least that a push can cost."""

    bench: Bench
    name: str = "bare script (the limit)"

    def prepare(self, commit: str) -> None: ...

    def push(self, commit: str, target: str) -> Cost:
        host, _, name = target.partition("/")
        argv = [sys.executable, str(HERE / "limit.py"), str(self.bench.repository), commit, f"http://{host}/v2/{name}"]
        return measure.run(argv, env=self.bench.env)


@dataclass(frozen=True, slots=True)
class Crane:
    """`git archive` into `crane append`, which pushes by itself."""

    bench: Bench
    crane: str
    repository: Path | None = None
    name: str = CRANE

    def prepare(self, commit: str) -> None: ...

    def push(self, commit: str, target: str) -> Cost:
        script = 'set -o pipefail; git -C "$1" archive --prefix=code/ "$2" | "$3" append --base "$4" --new_layer - --new_tag "$5" >&2'
        arguments = (str(self.repository or self.bench.repository), commit, self.crane, self.bench.base, f"{target}:{commit}")
        return measure.run(["bash", "-c", script, "crane", *arguments], env=self.bench.env)


class Checkout:
    """A working tree for those who build from one, with a Dockerfile beside it, and .git left out of the context."""

    def __init__(self, bench: Bench, name: str, copy: str) -> None:
        self.tree = bench.folder / f"tree-{name}"
        self.recipe = bench.folder / f"recipe-{name}"
        self.recipe.mkdir()
        (self.recipe / "Dockerfile").write_text(f"FROM {bench.base}\n{copy}\n")
        git(bench.repository, "worktree", "add", "--quiet", "--detach", str(self.tree), bench.commits[0])
        (self.tree / ".dockerignore").write_text(".git\n.dockerignore\n")

    def checkout(self, commit: str) -> None:
        git(self.tree, "checkout", "--quiet", "--detach", commit)


class BuildKit:
    """`COPY --link` by a buildkitd, pushed by it. The base's content is not needed for it."""

    name = "BuildKit, COPY --link"

    def __init__(self, bench: Bench, buildctl: str, host: str) -> None:
        self._bench, self._buildctl, self._host = bench, buildctl, host
        self._checkout = Checkout(bench, "buildkit", f"COPY --link . {_marked(bench)}")
        self._daemons = [measure.listener(host)]

    def prepare(self, commit: str) -> None:
        self._checkout.checkout(commit)

    def push(self, commit: str, target: str) -> Cost:
        places = ("--local", f"context={self._checkout.tree}", "--local", f"dockerfile={self._checkout.recipe}")
        output = f"type=image,name={target}:{commit},push=true,registry.insecure=true"
        argv = [
            self._buildctl,
            "--addr",
            self._host,
            "build",
            "--frontend",
            "dockerfile.v0",
            *places,
            "--output",
            output,
            "--progress=plain",
        ]
        return _with_daemons(self._daemons, lambda: measure.run(argv, env=self._bench.env))

    def clean(self) -> None:
        argv = [self._buildctl, "--addr", self._host, "prune", "--filter", f"description~={_marked(self._bench).rpartition('/')[2]}"]
        subprocess.run(argv, check=False, capture_output=True)


class Docker:
    """`docker build`, then `docker push`."""

    def __init__(self, bench: Bench, docker: str, host: str, *, buildkit: bool) -> None:
        self.name = "Docker with BuildKit, build + push" if buildkit else "Docker, build + push"
        self._bench, self._docker = bench, docker
        self._env = {**bench.env, "DOCKER_HOST": host, "DOCKER_BUILDKIT": "1" if buildkit else "0"}
        self._checkout = Checkout(bench, f"docker{int(buildkit)}", f"COPY . {_marked(bench)}")
        self._daemons = [measure.listener(host)]
        self._made: list[str] = []
        for name in (
            bench.env["BUILDER_TEST_BIG_BASE"],
            bench.base,
        ):  # the first stays in the engine: pulled once, it is there for the next run
            measure.run([docker, "pull", "--quiet", name], env=self._env)

    def prepare(self, commit: str) -> None:
        self._checkout.checkout(commit)

    def push(self, commit: str, target: str) -> Cost:
        name = f"{target}:{commit}"
        self._made.append(name)
        script = '"$1" build --quiet --file "$2/Dockerfile" --tag "$3" "$4" >&2 && "$1" push --quiet "$3" >&2'
        argv = ["bash", "-c", script, "docker", self._docker, str(self._checkout.recipe), name, str(self._checkout.tree)]
        return _with_daemons(self._daemons, lambda: measure.run(argv, env=self._env))

    def clean(self) -> None:
        subprocess.run([self._docker, "rmi", "--force", *self._made, self._bench.base], env=self._env, check=False, capture_output=True)


def _with_daemons(pids: Sequence[int], work: Callable[[], Cost]) -> Cost:
    before = measure.cpu_of(pids)
    cost = work()
    return replace(cost, daemon_cpu=measure.cpu_of(pids) - before)


def _marked(bench: Bench) -> str:
    """Where the code goes: a name of this run's own, so that what a buildkitd cached of it can be told from others' and dropped."""
    return f"/code/{bench.folder.name}"


def find_peers(bench: Bench, log: Callable[[str], None]) -> list[Way]:
    """Those that are there: crane, a buildkitd, a Docker engine."""
    env = bench.env
    found: list[Way] = []
    if env.get("BUILDER_TEST_CRANE"):
        found.append(Crane(bench, env["BUILDER_TEST_CRANE"]))
    if env.get("BUILDER_TEST_BUILDKIT_HOST"):
        found.append(BuildKit(bench, env["BUILDER_TEST_BUILDCTL"], env["BUILDER_TEST_BUILDKIT_HOST"]))
    if env.get("BUILDER_TEST_DOCKER_HOST"):
        docker = env.get("BUILDER_TEST_DOCKER") or shutil.which("docker") or "docker"
        log("the Docker engine pulls the base (not measured)")
        found += [Docker(bench, docker, env["BUILDER_TEST_DOCKER_HOST"], buildkit=buildkit) for buildkit in (True, False)]
    return found


def git(directory: Path, *argv: str) -> str:
    return subprocess.run(["git", "-C", str(directory), *argv], check=True, capture_output=True, text=True).stdout
