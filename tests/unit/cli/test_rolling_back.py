"""`builder deploy --rollback` and `builder show FLOW --history` as their user meets them, over a cluster in memory."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from builder.cli import frame
from builder.cli.documents import DOCUMENTS
from builder.deploy.cron import commit_of, cron_workflow
from builder.deploy.deployment import Deployment, deploy
from builder.errors import AuthError, ClusterError
from builder.model.run import RunResult
from builder.settings import FlowSettings, ScheduleSettings
from builder.steps import green
from builder.steps.request import Origin
from tests.fixtures.memory_cluster import MemoryCluster
from tests.fixtures.records import clock, root
from tests.fixtures.releases import REFERENCE, release, template
from tests.fixtures.repositories import Repository

FLOW = FlowSettings(command=("true",), config="a.yaml", evals={"click": ("true",)})
SETTINGS = f"""
[image]
base = "scratch"
[store]
to = "{REFERENCE.partition("@")[0]}"
[data]
root = "../.builder/data"
[deploy]
namespace = "team"
[flow.finetune]
command = ["true"]
evals = {{ click = ["true"] }}
[schedule.nightly]
flow = "finetune"
cron = "0 2 * * *"
"""


class World:
    """A repository with four commits, each with a template, the last of which is live; `clone` is where commands are typed."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.tmp_path, self.monkeypatch, self._capsys = tmp_path, monkeypatch, capsys
        self.repository = Repository.make(tmp_path / "team")
        config = {"builder.toml": SETTINGS.encode(), "a.yaml": b"lr: 1\n"}
        self.shas = [self.repository.commit({**config, "n": str(number).encode()}) for number in range(4)]
        (tmp_path / "team/builder.toml").write_text(SETTINGS)
        self.cluster = MemoryCluster()
        for sha in self.shas:
            self.deploy(sha)

    def deploy(self, sha: str, words: tuple[str, ...] = ()) -> None:
        made = template(self.tmp_path, FLOW, commit=sha, evals=("click",), config="a.yaml")
        asked = release(self.tmp_path, FLOW, commit=sha, evals=("click",), overrides=words, origin=Origin(main=True)).request
        cron = cron_workflow("nightly", ScheduleSettings("finetune", "0 2 * * *"), made, asked)
        wanted = Deployment((made,), {}, (cron,), frozenset(["nightly"]), REFERENCE.partition("@")[0])
        list(deploy(self.cluster, wanted, "Ada", sleep=lambda _: None))

    def passed(self, number: int, at: float) -> None:
        request = release(self.tmp_path, FLOW, commit=self.shas[number], evals=("click",), origin=Origin(main=True)).request
        request = replace(request, run=f"run-{at}")
        self.monkeypatch.setattr(green, "now", lambda: clock(at))
        result = RunResult(request.run, "finetune", request.commit, REFERENCE, "succeeded", identity=str(at))
        green.remember(root(self.tmp_path), request, result)

    def said(self, *words: str, code: int = 0) -> tuple[str, str]:
        self._capsys.readouterr()
        ended = frame.run(words)
        said = self._capsys.readouterr()
        assert ended == code, said
        return said

    @property
    def live(self) -> int:
        """Which of the commits."""
        return self.shas.index(commit_of(self.cluster.objects["cronworkflows", "nightly"]))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> World:
    made = World(tmp_path, monkeypatch, capsys)
    monkeypatch.setattr("builder.cluster.kubernetes.connect", lambda *_: made.cluster)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("builder.deploy.rollback.time.sleep", lambda _: None)
    monkeypatch.delenv("BUILDER_DATA_ROOT", raising=False)
    monkeypatch.chdir(tmp_path / "team")
    return made


BACK = ("deploy", "--rollback", "finetune")


def test_back_twice_and_never_forward(world: World) -> None:
    for number, at in ((0, 0), (1, 10), (3, 20), (2, 30)):
        world.passed(number, at)
    world.passed(3, 40)
    _, told = world.said(*BACK)
    assert world.live == 2, "the newest green one before, whatever was tried later"
    assert f"the last green commit before {world.shas[3][:12]} is {world.shas[2][:12]}" in told
    assert "schedule nightly changed" in told
    assert "next: builder show finetune --history" in told
    world.said(*BACK)
    assert world.live == 1
    world.said(*BACK)
    assert world.live == 0
    _, told = world.said(*BACK, code=1)
    assert "there is nothing to go back to" in told


def test_a_commit_that_is_named(world: World) -> None:
    out, _ = world.said(*BACK, "--to", world.shas[1][:9], "-o", "json")
    done = json.loads(out)
    assert set(done) == {"schema", *DOCUMENTS["builder deploy"].keys}
    assert (done["commit"], done["looked"], world.live) == (world.shas[1], False, 1)
    assert "is live already; nothing to do" in world.said(*BACK, "--to", "HEAD~2")[1]
    assert "no commit is named" in world.said(*BACK, "--to", "nowhere", code=2)[1]


def test_looking_first(world: World) -> None:
    world.passed(1, 0)
    out, _ = world.said(*BACK, "--diff", code=1)
    assert out.startswith("schedule nightly would be changed\n")
    assert "would be changed" in world.said(*BACK, "--dry-run", "-o", "table")[0]
    would = f"schedule nightly would start {world.shas[1][:12]} First instead of {world.shas[3][:12]} First\n"
    out, told = world.said(*BACK, "--dry-run")
    assert (out, would in told) == ("schedule/nightly\n", True), "names for scripts, sentences for people"
    assert told.endswith("nothing is done yet; the same command without --dry-run does it\n")
    assert world.live == 3
    assert "deploys" not in root(world.tmp_path).folders()
    assert world.said(*BACK, "--to", world.shas[3], "--diff") == (
        "",
        f"{world.shas[3][:12]} First is live already; nothing to do\n",
    )


def test_a_clone_that_cannot_tell_what_came_before(world: World) -> None:
    """Then a green commit counts, unless it is the one that was left."""
    for number, at in ((1, 0), (2, 10), (3, 20)):
        world.passed(number, at)
    world.repository.git("clone", "--quiet", "--depth=1", f"file://{world.repository.directory}", str(world.tmp_path / "shallow"))
    world.monkeypatch.chdir(world.tmp_path / "shallow")
    world.said(*BACK)
    assert world.live == 2
    world.said(*BACK)
    assert world.live == 1, "and not forward to the one that was left"
    world.said(*BACK, "--to", world.shas[0][:8])
    assert world.live == 0, "templates say which commits there are"


def test_what_the_schedule_sets_must_be_a_key_there(world: World) -> None:
    world.repository.commit({"a.yaml": b"lr: 1\nnew: 2\n"})
    newest = world.repository.git("rev-parse", "HEAD").decode().strip()
    world.shas.append(newest)
    world.deploy(newest, ("new=3",))
    _, told = world.said(*BACK, "--to", world.shas[0], code=2)
    assert "new" in told
    assert world.live == 4, "it is refused before anything is changed"


def test_who_looks_after_it_is_named(world: World) -> None:
    world.passed(1, 0)
    world.cluster.patch("cronworkflows", "nightly", {"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": "team"}}})
    assert "warning: Flux looks after schedule nightly and may undo this" in world.said(*BACK)[1]


def test_what_was_live(world: World) -> None:
    world.passed(1, 0)
    world.said(*BACK)
    out, told = world.said("show", "finetune", "--history", "-o", "json")
    (entry,) = json.loads(out)
    assert set(entry) == {"schema", *DOCUMENTS["builder show FLOW --history"].keys}
    assert (entry["commit"], entry["how"], entry["before"], entry["until"]) == (world.shas[1], "rollback", world.shas[3], "")
    assert f", rolled back from {world.shas[3][:12]}" in world.said("show", "finetune")[0]
    out, told = world.said("show", "--history", "-o", "table")
    assert [line.split()[2:4] for line in out.splitlines()[1:]] == [["nightly", world.shas[1][:12]]]
    assert "builder deploy --rollback finetune --dry-run" in told


def test_a_history_without_a_cluster_or_without_anything(world: World) -> None:
    def away(*_: object) -> MemoryCluster:
        raise ClusterError("no cluster: nothing says where", "set KUBECONFIG")

    with world.monkeypatch.context() as patch:
        patch.setattr("builder.cluster.kubernetes.connect", away)
        out, told = world.said("show", "finetune", "--history", "-o", "table")
        assert out == ""
        assert f"none that the data root ({world.tmp_path}/.builder/data) knows of; the cluster was not asked: no cluster: nothing" in told
        assert "next: set KUBECONFIG; where `builder deploy --to DIR` commits, `git log` of DIR tells" in told
        assert "no schedule has started" not in told, "which nobody knows"
        out, told = world.said("show", "finetune", "--history", "-o", "json")
        assert (json.loads(out), "warning: what is live now is not known: no cluster" in told) == ([], True)
    world.cluster.delete("cronworkflows", "nightly")
    out, told = world.said("show", "finetune", "--history", "-o", "table")
    assert (out, "no schedule has started finetune yet; next: builder deploy finetune" in told) == ("", True)
    assert "--history is of a flow, and HEAD is a commit" in world.said("show", "HEAD", "--history", code=2)[1]


def test_a_data_root_that_cannot_be_written_is_told(world: World) -> None:
    (world.tmp_path / ".builder").mkdir()
    (world.tmp_path / ".builder/data").write_text("a file")
    _, told = world.said(*BACK, "--to", world.shas[1])
    assert world.live == 1
    assert "warning: the history of nightly lacks this" in told


# --- 1 says that something differs: a failure must not


@pytest.mark.parametrize(
    ("error", "code"), [(ClusterError("away"), 3), (AuthError("who are you"), 4), (OSError("broken"), 3), (KeyError("x"), 3)]
)
def test_diff_that_fails(world: World, error: Exception, code: int) -> None:
    def fault(*_: str) -> None:
        raise error

    world.cluster.fault = fault
    world.said(*BACK, "--to", world.shas[1], "--diff", code=code)
    world.said(*BACK, "--to", world.shas[1], "--dry-run", code=4 if code == 4 else 1)
