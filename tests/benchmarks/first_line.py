"""From saving a file to the first line of training on a cluster: our way, and the same with `docker build` and `docker push`.

A change of one file in the demo repository, which is then fine-tuned on Argo. The time is from the moment the file is written to what
the training process prints first, by the same clock. Both ways run the same template with the same steps; what differs is how the image
is made, and what the node has to pull.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import measure
from measure import Cost
from scenarios import Goal, Plan, Section

from tests.fixtures.cluster import Cluster
from tests.fixtures.servers import S3Server
from tests.fixtures.team import Images, Team, make_team

OURS, THEIRS = "builder run", "docker build, docker push, then the same run"
TITLE = "From save to the first line of training"
_TEXT = (
    "One file of a repository of 4,000 files and 100 MB is saved, and fine-tuned on Argo: `builder run finetune --on argo`. Seconds until "
    "the training process prints its first line; two pods have been started by then, the one that loads the configuration and the one "
    "that trains, which is the same work for both ways. *Submitted* is until Argo has the run. A cold node has nothing of the image; the "
    "base is {size}."
)
_FIRST = 'import time; print("first line", time.time(), flush=True)\n'
_NAMESPACE = json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "bench-"}})
_FILES, _FILE_SIZE = 4000, 25_000
_DOCKERFILE = "ARG BASE\nFROM $BASE\nCOPY . /code\n"


def section(plan: Plan, env: Mapping[str, str], rounds: int) -> Section | None:
    """None where there is no cluster."""
    if not {"BUILDER_TEST_CLUSTER", "BUILDER_TEST_S3", "BUILDER_TEST_DOCKER_HOST", "BUILDER_TEST_BASE"} <= set(env):
        return None
    ways: dict[str, list[Cost]] = {}
    with _team(env) as team:
        bench = Bench(team, env)
        for number in range(rounds + 1):
            for state in ("warm", "cold"):
                for name, start in ((OURS, bench.ours), (THEIRS, bench.theirs)):
                    if state == "cold":
                        bench.make_cold()
                    submitted, first = bench.time(start, f"{name} {state} {number}")
                    if number:  # the first round only warms up
                        ways.setdefault(f"{name}, {state} node", []).append(Cost(first, 0, 0))
                        ways.setdefault(f"… submitted, {name}, {state} node", []).append(Cost(submitted, 0, 0))
                    plan.log(f"  round {number}, {state}: {name}: submitted {submitted:.1f} s, first line {first:.1f} s")
    wall = {name: measure.median(costs, lambda cost: cost.seconds) for name, costs in ways.items()}
    goals = [Goal("submitted", wall[f"… submitted, {OURS}, warm node"], 3, "{:.1f} s")]
    return Section(TITLE, _TEXT.format(size="2 GB" if env.get("BUILDER_TEST_BIG_BASE") else "56 MB"), ways, goals)


@dataclass(frozen=True, slots=True)
class Bench:
    """A team's repository on a cluster, and the two ways."""

    team: Team
    env: Mapping[str, str]

    def time(self, start: Callable[[], str], mark: str) -> tuple[float, float]:
        """Saves a change, and starts it. Seconds to the submission, and to the first line."""
        with (self.team.repository / "agent/model.py").open("a") as file:
            file.write(f"# {mark} {time.time()}\n")
        saved = time.time()
        run = start()
        submitted = time.time() - saved
        first = self._first_line(run) - saved
        self._end(run)
        return submitted, first

    def ours(self) -> str:
        return str(self.team.json("run", "finetune", "--on", "argo", "--detach")["run"])

    def theirs(self) -> str:
        """Layers of the same base and tool, then COPY; the run is submitted with the digest that the push gave."""
        name = f"{self.env['BUILDER_TEST_REGISTRY']}/bench/docker"
        docker = [self.env["BUILDER_TEST_DOCKER"], "--host", self.env["BUILDER_TEST_DOCKER_HOST"]]
        environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
        with tempfile.TemporaryDirectory() as folder:
            recipe = Path(folder) / "Dockerfile"
            recipe.write_text(_DOCKERFILE)
            (Path(folder) / "Dockerfile.dockerignore").write_text(".git\n.builder\n")
            build = ["build", "--quiet", "--build-arg", f"BASE={self._tool_image()}", "--file", str(recipe), "--tag", f"{name}:run"]
            subprocess.run([*docker, *build, str(self.team.repository)], check=True, capture_output=True, env=environment)
        pushed = subprocess.run([*docker, "push", f"{name}:run"], check=True, capture_output=True, text=True)
        digest = re.findall(r"digest: (sha256:[0-9a-f]{64})", pushed.stdout)[-1]
        argv = [sys.executable, __file__, f"{name}@{digest}"]
        done = subprocess.run(argv, cwd=self.team.repository, env=self.team.environ, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def make_cold(self) -> None:
        """Takes every image off the node, with its snapshots: containerd does not load a layer whose snapshot some container still uses."""
        self.team.cluster.run("--namespace", self.team.namespace, "delete", "workflows", "--all", "--wait=true")
        deadline = time.monotonic() + 120
        while self._ctr("containers", "ls", "--quiet"):
            if time.monotonic() > deadline:
                raise measure.CommandFailed("the node cannot be made cold: other pods run on it")
            time.sleep(0.2)
        for line in self._ctr("images", "ls")[1:]:
            name = line.split()[0]
            if not any(own in line for own in ("pause", "argoexec")):
                self._ctr("images", "rm", "--sync", name)

    def _ctr(self, *words: str) -> list[str]:
        argv = ["ctr", "--address", self.env["BUILDER_TEST_CLUSTER_CONTAINERD"], "--namespace", "k8s.io", *words]
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.splitlines()

    def _tool_image(self) -> str:
        """The image of the first commit: base, tool and code, as a Dockerfile of the team's would have them."""
        first = self.team.git("rev-list", "--max-parents=0", "HEAD")
        return (
            self.team.ok("image", "--commit", first)
            .strip()
            .replace(self.env["BUILDER_TEST_CLUSTER_REGISTRY"], self.env["BUILDER_TEST_REGISTRY"])
        )

    def _first_line(self, run: str) -> float:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            log = self.team.objects.get(f"runs/{run}/finetune/log") or b""
            if match := re.search(rb"first line ([0-9.]+)", log):
                return float(match[1])
            time.sleep(0.5)
        raise measure.CommandFailed(f"{run} did not train: {self.team.workflow(run).get('status')}")

    def _end(self, run: str) -> None:
        self.team.cluster.output("--namespace", self.team.namespace, "delete", "workflow", run, "--wait=true")


@contextmanager
def _team(env: Mapping[str, str]) -> Iterator[Team]:
    cluster = Cluster(env["BUILDER_TEST_KUBECTL"], Path(env["BUILDER_TEST_CLUSTER"]))
    s3 = S3Server(env["BUILDER_TEST_S3"], *(env[f"BUILDER_TEST_S3_{name}"] for name in ("KEY", "SECRET", "BUCKET")))
    os.environ.update(s3.environment)
    images = Images(base_of(env), env["BUILDER_TEST_REGISTRY"], env["BUILDER_TEST_CLUSTER_REGISTRY"])
    namespace = cluster.output("create", "--filename=-", "--output=name", stdin=_NAMESPACE).strip().rpartition("/")[2]
    folder = Path(tempfile.mkdtemp(prefix="builder-bench-"))
    try:
        team = make_team(folder / "agent", cluster, namespace, images, s3, f"bench/{namespace}", folder / "cache")
        train = (team.repository / "agent/train.py").read_text()
        docstring_end = train.index('"""', 3) + 4
        _fill(team.repository / "assets")
        team.commit("Say when training starts", {"agent/train.py": train[:docstring_end] + _after_future(train[docstring_end:])})
        team.ok("image")
        yield team
    finally:
        cluster.run("delete", "namespace", namespace, "--wait=false")
        shutil.rmtree(folder, ignore_errors=True)


def base_of(env: Mapping[str, str]) -> str:
    """The padded base where it is up."""
    return env.get("BUILDER_TEST_BIG_BASE") or env["BUILDER_TEST_BASE"]


def _fill(folder: Path) -> None:
    """Files enough to make it the repository of a team: 100 MB that do not compress."""
    for number in range(_FILES):
        path = folder / f"{number % 40:02}" / f"{number:04}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(_FILE_SIZE))


def _after_future(code: str) -> str:
    """`from __future__` must stay first."""
    lines = code.splitlines(keepends=True)
    last = max((number for number, line in enumerate(lines) if line.startswith("from __future__")), default=-1) + 1
    return "".join([*lines[:last], _FIRST, *lines[last:]])


def submit(reference: str) -> None:
    """Run in the team's repository: the run that `builder run finetune --on argo --detach` starts, of another image of the same tree."""
    from builder.cli.executing import execute_on_argo
    from builder.cli.making import making
    from builder.cli.starting import Asked, Target, make_ready, prepare, template_for
    from builder.cluster.kubernetes import connect
    from builder.runs.prepare import Overrides

    with making(None) as maker:
        ready = make_ready(maker, prepare(maker, Asked(Target("finetune", "HEAD"), Overrides(), on="argo")))
        other = replace(ready.request, reference=reference)
        templates = [template_for(other, ready.prepared, "")]
        execute_on_argo(maker, connect(maker.settings.deploy.namespace), other, templates, wait=False)
    print(ready.request.run)


if __name__ == "__main__":
    submit(sys.argv[1])
