"""What the page tells, from git, a store, a data root: and what it says where one of them does not answer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from builder.cluster.interface import Cluster
from builder.data.ledger import RUN, Ledger
from builder.errors import AuthError, ClusterError, SourceError, StoreError
from builder.model.annotations import KIND
from builder.model.oci import Descriptor, Manifest
from builder.page.curves import thinned
from builder.page.document import document
from builder.page.facts import Commit, Facts
from builder.page.gather import Places, gather
from builder.page.images import Known, weighed
from builder.page.nights import MISSED, Plan, calendar
from builder.runs.history import Seen
from builder.runs.sources import Sources
from builder.settings import RunSettings, ScheduleSettings, Settings
from builder.source.repository import Git
from builder.stores.interface import Store
from builder.watch.journal import Journal
from builder.watch.news import Open
from tests.fixtures.images import build
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.records import clock, facts, root, write_run
from tests.fixtures.repositories import Repository, an_empty_repository, at_nobodys_home

__all__ = ["an_empty_repository", "at_nobodys_home"]

BAD = b"line\x1b[31m \xe2\x80\xae</script>"


def refuse(error: Exception) -> Callable[[], Any]:
    def refused() -> Any:
        raise error

    return refused


class Scene:
    """A repository of three commits with images, and a data root; each of them can be taken away."""

    def __init__(self, repository: Repository, path: Path) -> None:
        self.objects, self.store, self.settings = root(path), MemoryStore(), Settings()
        self.opened = Git.open(repository.directory)
        self.git: Callable[[], Git] = lambda: self.opened
        self.open_store: Callable[[], Store] = lambda: self.store
        self.connect: Callable[[], Cluster] = refuse(ClusterError("nothing says where a cluster is"))
        self.commits: list[str] = []
        for number, message in enumerate([b"First", b"Second", BAD]):
            tree = repository.commit({f"{number}.txt": b"x" * 1000 * (number + 1)}) + "^{tree}"
            parents = [word for parent in self.commits[-1:] for word in ("-p", parent)]
            self.commits.append(repository.text("commit-tree", tree, *parents, "-F", "-", stdin=message))
            repository.git("update-ref", "refs/heads/main", self.commits[-1])
        for sha in self.commits:
            build(repository.directory, self.store, sha)

    @property
    def places(self) -> Places:
        sources = Sources(self.settings, self.objects, Ledger(self.objects), self.connect)
        return Places(sources, self.git, self.open_store, "agent")

    def told(self, **options: Any) -> dict[str, Any]:
        told = document(gather(self.places, **options))
        json.dumps(told, allow_nan=False).encode()
        return told


@pytest.fixture
def scene(repository: Repository, tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(repository, tmp_path)
    with scene.opened:
        yield scene


def test_commits_images_and_runs(scene: Scene) -> None:
    write_run(scene.objects, "finetune-1", commit=scene.commits[1], at=0)
    write_run(scene.objects, "finetune-2", "failed", commit=scene.commits[2], at=100)
    told = scene.told()
    assert [commit["sha"] for commit in told["commits"]] == scene.commits[::-1]
    assert [commit["subject"] for commit in told["commits"]] == ["line\\x1b[31m \\u202e</script>", "Second", "First"]
    assert "HEAD -> main" in told["commits"][0]["refs"]
    images = [commit["image"] for commit in told["commits"]]
    assert [image["digest"] for image in images] == [scene.store.get_manifest(sha).digest for sha in scene.commits[::-1]]  # type: ignore[union-attr]
    assert all(0 < image["new"] <= image["size"] for image in images)
    assert images[-1]["new"] == images[-1]["size"], "nothing is older"
    sizes = told["sizes"]
    assert sizes["images"] == sizes["tagged"] == 3
    assert sizes["stored"] == sum(image["new"] for image in images) <= sizes["alone"] == sum(image["size"] for image in images)
    assert [run["run"] for run in told["runs"]] == ["finetune-2", "finetune-1"]
    failed, good = told["runs"]
    assert (failed["state"], failed["step"], failed["end"], failed["log"]) == (
        "failed",
        "finetune",
        "exit code 3",
        ["Traceback", "ValueError: no"],
    )
    assert (good["scores"], good["loss"], good["who"]) == ({"click": 0.5}, 0.25, "ada")
    assert good["ended"] - good["started"] == 60
    assert [step["step"] for step in good["steps"]] == ["start", "finetune", "evaluate-click"]
    assert told["notes"] == []


def test_so_many_commits_and_one_flow(scene: Scene) -> None:
    write_run(scene.objects, "train-1", commit=scene.commits[2], flow="train")
    write_run(scene.objects, "finetune-1", commit=scene.commits[2])
    told = scene.told(most=1, flow="train")
    assert [commit["sha"] for commit in told["commits"]] == scene.commits[-1:]
    assert [run["run"] for run in told["runs"]] == ["train-1"]
    assert told["sizes"]["images"] == 1
    assert told["sizes"]["tagged"] == 3


def test_a_run_of_a_commit_that_git_does_not_have_brings_it_along(scene: Scene) -> None:
    write_run(scene.objects, "finetune-1", commit="c" * 40)
    told = scene.told()
    gone = next(commit for commit in told["commits"] if commit["sha"] == "c" * 40)
    assert gone["subject"] == "First"
    assert len(told["commits"]) == 4


@pytest.mark.parametrize(
    ("what", "note", "left"),
    [
        ("git", "commits are those of images and runs alone: no repository", ("commits", "runs", "images")),
        ("store", "images are not shown: the registry is away", ("commits", "runs")),
        ("credentials", "images are not shown: who are you", ("commits", "runs")),
        ("cluster", "Argo cannot be asked: nothing says where a cluster is", ("commits", "runs", "images")),
        ("journal", "what watch told before is not known", ("commits", "runs", "images")),
        ("ledger", "left out", ("commits", "images")),
    ],
)
def test_what_cannot_be_asked_is_a_note(scene: Scene, what: str, note: str, left: tuple[str, ...]) -> None:
    write_run(scene.objects, "finetune-1", commit=scene.commits[0])
    if what == "git":
        scene.git = refuse(SourceError("no repository"))
    elif what == "store":
        scene.open_store = refuse(StoreError("the registry is away"))
    elif what == "credentials":
        scene.store.list_tags = refuse(AuthError("who are you"))  # type: ignore[method-assign]
    elif what == "cluster":
        scene.settings = Settings(run=RunSettings(on="argo"))
    elif what == "journal":
        scene.objects.put("watch/journal/000000000001.json", b"{")
    else:
        for found in list(scene.objects.list("ledger/finetune-1")):
            scene.objects.put(found.key, b"{")
    told = scene.told()
    assert any(note in said for said in told["notes"]), told["notes"]
    there = {"commits": len(told["commits"]) == 3, "runs": len(told["runs"]) == 1, "images": told["sizes"]["images"] == 3}
    assert {name for name, is_there in there.items() if is_there} == set(left)


def test_without_git_images_tell_of_commits(scene: Scene) -> None:
    scene.git = refuse(SourceError("no repository"))
    told = scene.told()
    assert {commit["sha"] for commit in told["commits"]} == set(scene.commits)
    assert all(commit["date"] and not commit["subject"] for commit in told["commits"])


def test_a_run_of_before_the_slimming_stands_with_the_commit_of_now(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene.opened, "new_name", {"c" * 40: scene.commits[0]}.get)
    write_run(scene.objects, "finetune-1", commit="c" * 40)
    told = scene.told()
    assert [commit["sha"] for commit in told["commits"]] == scene.commits[::-1]
    assert told["runs"][0]["commit"] == scene.commits[0]


def test_a_layer_is_new_with_the_oldest_commit_that_has_it() -> None:
    def known(*layers: tuple[str, str, int]) -> Known:
        made = tuple(Descriptor("x", f"sha256:{digest * 64}", size, {KIND: kind} if kind else {}) for digest, kind, size in layers)
        return Known("sha256:x", "", Manifest(Descriptor("x", f"sha256:{'f' * 64}", 1), made))

    images = {
        "old": known(("a", "", 100), ("b", "code", 10)),
        "new": known(("a", "", 100), ("b", "code", 10), ("c", "code", 1), ("c", "code", 1)),
    }
    told = document(Facts(0.0, "", "", (Commit("new", 2.0), Commit("old", 1.0)), weighed(images, ["old", "new"], 5, "store")))
    assert [(commit["image"]["size"], commit["image"]["new"]) for commit in told["commits"]] == [(113, 2), (111, 111)]
    assert told["commits"][0]["image"]["kinds"] == {"base": [1, 100, 0], "code": [3, 12, 1], "config": [1, 1, 1]}
    assert told["sizes"] == {"images": 2, "tagged": 5, "alone": 224, "stored": 113, "kinds": {"base": 100, "code": 11, "config": 2}}


def test_the_plain_tag_names_the_image_of_a_commit(scene: Scene) -> None:
    """Law 4. Another one is shown only where there is no plain one."""
    sha, other = scene.commits[1], scene.commits[2]
    manifest = scene.store.manifests[scene.store.tags[sha]]
    refreshed = scene.store.put_manifest(manifest.data.replace(b'"annotations":{', b'"annotations":{"a":"b",', 1), manifest.media_type)
    tags = {name: digest for name, digest in scene.store.tags.items() if not name.startswith((sha, other))}
    scene.store.tags = {**tags, f"{sha}-{'0' * 8}": refreshed, sha: manifest.digest, f"{other}-{'0' * 8}": scene.store.tags[other]}
    digests = {commit["sha"]: commit["image"]["digest"] for commit in scene.told()["commits"]}
    assert refreshed != manifest.digest
    assert digests[sha] == manifest.digest
    assert digests[other] == scene.store.tags[f"{other}-{'0' * 8}"]


def test_an_image_of_another_commit_is_not_its_own(scene: Scene) -> None:
    scene.store.tags[scene.commits[0]] = scene.store.tags[scene.commits[1]]
    assert ["image" in commit for commit in scene.told()["commits"]] == [True, True, False]


def test_one_damaged_image_hides_no_other(scene: Scene) -> None:
    digest = scene.store.tags[scene.commits[1]]
    stored = scene.store.manifests[digest]
    scene.store.manifests[digest] = type(stored)(b"{", stored.media_type, digest)
    told = scene.told()
    assert [("image" in commit) for commit in told["commits"]] == [True, False, True]


def test_a_repository_without_commits(tmp_path: Path) -> None:
    empty = Repository.make(tmp_path / "empty")
    sources = Sources(Settings(), root(tmp_path), Ledger(root(tmp_path)), refuse(ClusterError("none")))
    with Git.open(empty.directory) as git:
        assert document(gather(Places(sources, lambda: git, MemoryStore)))["commits"] == []


def test_what_watch_found_with_when_it_was_seen_first(scene: Scene) -> None:
    since = time.time() - 7200
    scene.settings = Settings(schedule={"nightly": ScheduleSettings(flow="finetune", cron="0 2 * * *")}, run=RunSettings(on="argo"))
    journal = Journal(scene.objects)
    blind = Open("blind", "Argo", "cannot be asked: of before", since, told=True)
    journal.confirm(journal.claim(journal.read(), {"blind:Argo": blind}), {"blind:Argo": blind})
    journal.looked()
    told = scene.told()
    assert [(found["title"], found["subject"], found["since"]) for found in told["found"]] == [("cannot be asked", "Argo", round(since))]
    assert "nothing says where" in told["found"][0]["text"], "as it is now"
    assert time.time() - told["looked"] < 60
    assert told["nights"][0]["cron"] == "0 2 * * *"


# curves


def test_loss_curves_from_records_and_from_metrics(scene: Scene) -> None:
    write_run(scene.objects, "finetune-1", commit=scene.commits[0])
    write_run(scene.objects, "finetune-2", "failed", commit=scene.commits[0])
    ledger = Ledger(scene.objects)
    record = ledger.read("finetune-1")["finetune"]
    losses = [{"step": number, "name": "loss", "value": 1 / (number + 1)} for number in range(3)]
    ledger.write("finetune-1", "finetune", {**record, "result": {**record["result"], "losses": losses}})
    lines = [
        '{"step": 1, "name": "loss", "value": 2}',
        "no metric",
        '{"step": 2, "name": "lr", "value": 1}',
        '{"step": 3, "name": "loss", "value": NaN}',
        "[[[",
    ]
    scene.objects.put(
        "runs/finetune-2/finetune/metrics.jsonl", "\n".join([*lines, '{"step": 4, "name": "loss", "value": 1.5}', '{"st']).encode()
    )
    curves = {run["run"]: run.get("curve") for run in scene.told()["runs"]}
    assert curves == {"finetune-1": [[0, 1], [1, 0.5], [2, 0.333333]], "finetune-2": [[1, 2], [4, 1.5]]}


def test_a_curve_is_thinned_out_and_keeps_its_peaks() -> None:
    points = [(float(step), 1.0) for step in range(100_000)]
    points[777], points[91_234] = (777.0, 9.0), (91_234.0, -3.0)
    thin = thinned(points)
    assert len(thin) <= 160
    assert thin[0] == points[0]
    assert thin[-1] == points[-1]
    assert {points[777], points[91_234]} <= set(thin)
    assert list(thin) == sorted(thin)
    assert thinned(points[:7]) == tuple(points[:7])


# nights


def night(at: str, state: str = "succeeded", schedule: str = "nightly") -> Seen:
    record = {**facts(origin={"schedule": schedule}), "started": at, "ended": at, "state": state}
    return Seen(f"run-{at}", {RUN: record}, state)


def days(plan: Plan, runs: list[Seen], now: str, **more: Any) -> dict[str, str]:
    at = datetime.strptime(now, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()
    (found,) = calendar({"nightly": plan}, runs, at, **more)
    assert len(found.days) == 42
    return {day.date: day.state for day in found.days if day.state}


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()


def test_a_night_ran_failed_or_was_missed() -> None:
    plan = Plan("finetune", "0 2 * * *", "UTC", since=seconds("2024-05-01T12:00"))
    runs = [
        night("2024-05-02T02:00:10Z"),
        night("2024-05-03T02:00:10Z", "failed"),
        night("2024-05-03T04:00:00Z"),
        night("2024-05-05T02:00:00Z", "failed"),
    ]
    found = days(plan, runs, "2024-05-06T01:00:00Z")
    assert found == {"2024-05-02": "succeeded", "2024-05-03": "succeeded", "2024-05-04": MISSED, "2024-05-05": "failed"}
    assert days(plan, runs, "2024-05-06T02:30:00Z") == found, "it may still begin"
    assert days(plan, runs, "2024-05-06T03:30:00Z") == {**found, "2024-05-06": MISSED}


def test_what_was_never_due_is_not_missed() -> None:
    assert days(Plan("finetune", "0 2 * * *"), [], "2024-05-06T01:00:00Z") == {}, "nobody knows since when it is there"
    since = seconds("2024-05-01T00:00")
    assert days(Plan("finetune", "0 2 * * *", since=since, paused=True), [], "2024-05-06T01:00:00Z") == {}
    assert days(Plan("watch", "0 2 * * *", since=since, recorded=False), [], "2024-05-06T01:00:00Z") == {}
    weekly = days(Plan("finetune", "0 2 * * 0", since=since), [], "2024-05-14T01:00:00Z")
    assert weekly == {"2024-05-05": MISSED, "2024-05-12": MISSED}
    known = seconds("2024-05-10T00:00")
    assert days(Plan("finetune", "0 2 * * 0", since=since), [], "2024-05-14T01:00:00Z", known_since=known) == {"2024-05-12": MISSED}


def test_a_night_belongs_to_the_day_of_its_own_clock() -> None:
    plan = Plan("finetune", "30 0 * * *", "Europe/Berlin", since=seconds("2024-05-01T20:00"))
    assert days(plan, [night("2024-05-02T22:30:05Z")], "2024-05-03T21:00:00Z") == {"2024-05-02": MISSED, "2024-05-03": "succeeded"}


def test_a_schedule_that_only_its_runs_tell_of() -> None:
    at = seconds("2024-05-06T00:00")
    (found,) = calendar({}, [night("2024-05-02T02:00:10Z", schedule="gone")], at)
    assert (found.schedule, found.flow, found.cron) == ("gone", "finetune", "")
    assert clock(0).startswith("2024-05-01")
