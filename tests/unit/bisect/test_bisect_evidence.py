"""What runs in the ledger say of a commit, which of them did the same, and what one costs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from builder.bisect.cost import Usual, usual_of, words_of
from builder.bisect.evidence import evidence_of, opinion
from builder.bisect.hunt import Need
from builder.bisect.metric import Metric
from builder.bisect.point import Point
from builder.data.ledger import RUN, Ledger
from builder.runs.history import Filter, Seen, runs_of
from builder.settings import DataSettings, FlowSettings, JobSetSettings, LaunchSettings, PodSettings, Settings, SlurmSettings
from builder.steps.request import Place, Request
from tests.fixtures.records import root, submit_run, write_run

CLICK, LOSS = Metric.parse("click<0.8"), Metric.parse("loss>0.5")


def runs(tmp_path: Path) -> list[Seen]:
    return runs_of(Ledger(root(tmp_path)), Filter())


def change(tmp_path: Path, run: str, step: str, **more: object) -> None:
    ledger = Ledger(root(tmp_path))
    ledger.write(run, step, {**ledger.read(run)[step], **more})


def test_values_runs_that_go_on_and_runs_that_failed(tmp_path: Path) -> None:
    write_run(root(tmp_path), "one", at=0, scores={"click": 0.7, "type": 0.1})
    write_run(root(tmp_path), "two", at=10, scores={"click": 0.9})
    write_run(root(tmp_path), "other", at=20, scores={"type": 0.9})
    write_run(root(tmp_path), "failed", "failed", at=30)
    write_run(root(tmp_path), "now", "running", at=40)
    found = evidence_of(CLICK, runs(tmp_path))
    assert list(found.values.items()) == [("one", 0.7), ("two", 0.9)]
    assert found.going == ("now",)
    assert found.failed == {
        "other": "other reported no click",
        "failed": "failed failed in step finetune: exit code 3 after 59 s",
    }
    assert dict(evidence_of(LOSS, runs(tmp_path)).values) == {"one": 0.25, "two": 0.25, "other": 0.25}


def test_a_score_counts_once_and_only_if_it_was_measured(tmp_path: Path) -> None:
    for name in ("first", "retried", "hole", "late"):
        write_run(root(tmp_path), name, scores={"click": 0.7})
    change(tmp_path, "retried", "evaluate-click", kept="first")
    change(tmp_path, "retried", "finetune", kept="first")
    change(tmp_path, "hole", "evaluate-click", state="missing", error="it fell over")
    change(tmp_path, "late", RUN, state="failed")
    found = evidence_of(CLICK, runs(tmp_path))
    assert dict(found.values) == {"first": 0.7, "late": 0.7}, "it failed after its score was there"
    assert set(found.failed) == {"retried", "hole"}
    assert set(evidence_of(LOSS, runs(tmp_path)).values) == {"first", "hole", "late"}


@pytest.mark.parametrize(
    ("state", "end"), [("stopped", "killed"), ("lost", "lost"), ("failed", "lost"), ("failed", "cancelled"), ("failed", "stage")]
)
def test_what_was_no_fault_of_the_commit_s_is_run_again(tmp_path: Path, state: str, end: str) -> None:
    """But not by the search whose own run it was, which would never end."""
    write_run(root(tmp_path), "run", "failed")
    change(tmp_path, "run", "finetune", end=end)
    (seen,) = (replace(seen, state=state) for seen in runs(tmp_path))
    known = opinion(CLICK, evidence_of(CLICK, [seen]), 1)
    assert (known.verdict, known.missing) == (None, 1)
    known = opinion(CLICK, evidence_of(CLICK, [seen], ["run"]), 1)
    assert known.verdict == "skip"
    assert known.why.startswith("run ")


def test_what_never_began_is_run_again(tmp_path: Path) -> None:
    submit_run(root(tmp_path), "refused", state="failed")
    assert evidence_of(CLICK, runs(tmp_path)).is_unknown


def request(**more: object) -> Request:
    flow = FlowSettings(command=("train",), evals={"click": ("a",), "type": ("b",)})
    return replace(Request("", "finetune", "a" * 40, "", flow, Place("", ""), DataSettings(), ("click",)), **more)  # type: ignore[arg-type]


def test_a_run_that_did_the_same_and_perhaps_more(tmp_path: Path) -> None:
    point, image = Point(request(), "sha256:c", f"sha256:{'a' * 64}", ("click",)), f"sha256:{'a' * 64}"
    whole, wanted = point.identity(image, ("type", "click")), point.identity(image)
    for name, identity, evals in (
        ("same", wanted, ["click"]),
        ("more", whole, ["click", "type"]),
        ("less", point.identity(image, ("type",)), ["type"]),
        ("gone", "0" * 32, ["click", "scroll"]),
        ("tuned", Point(request(), "sha256:d").identity(image), ["click"]),
    ):
        write_run(root(tmp_path), name, evals=evals)
        change(tmp_path, name, "start", identity=identity)
    seen = {run.run: run for run in runs(tmp_path)}
    assert {name for name, run in seen.items() if point.is_same(run)} == {"same", "more"}
    assert {name for name, run in seen.items() if replace(point, image="").is_same(run)} == {"same", "more"}, "an image that is gone"
    assert {name for name, run in seen.items() if replace(point, needs=()).is_same(run)} == {"same", "more", "less"}, (
        "for the loss any will do"
    )
    assert not any(replace(point, image=f"sha256:{'b' * 64}").is_same(run) for run in seen.values()), "it was made with other settings"


def test_a_run_that_has_not_begun_is_known_by_what_it_was_asked(tmp_path: Path) -> None:
    image = f"sha256:{'a' * 64}"
    submit_run(root(tmp_path), "waiting")
    submit_run(root(tmp_path), "tuned", overrides=["lr=1"])
    submit_run(root(tmp_path), "broken", state="failed")
    seen = {run.run: run for run in runs(tmp_path)}
    assert [name for name, run in seen.items() if Point(request(), "sha256:c", image).is_same(run)] == ["waiting"]
    assert [name for name, run in seen.items() if Point(request(overrides=("lr=1",)), "sha256:c", image).is_same(run)] == ["tuned"]


def test_what_a_run_takes(tmp_path: Path) -> None:
    for at, took in ((0, 100), (200, 120), (400, 900)):
        write_run(root(tmp_path), f"run-{at}", at=at, took=took, on="argo", scores={"click": 0.5, "type": 0.5})
    write_run(root(tmp_path), "failed", "failed", at=500, on="argo")
    write_run(root(tmp_path), "here", at=600)
    pod = LaunchSettings(pod=PodSettings(gpus=1))
    gang = LaunchSettings("jobset", pod=PodSettings(gpus=8), jobset=JobSetSettings(nodes=2))
    settings = replace(Settings(root=tmp_path), launch={"default": pod, "finetune": gang})
    usual = usual_of(runs(tmp_path), "argo", CLICK, settings)
    assert usual.seconds == 120
    assert usual.gpu_seconds == 39 * 16 + 9, "training on 16 GPUs, and the one evaluation"
    assert usual_of(runs(tmp_path), "local", CLICK, settings).gpu_seconds == 39 * 16
    slurm = replace(settings, launch={"finetune": LaunchSettings("slurm", slurm=SlurmSettings(nodes=3, gpus_per_node=4))})
    assert usual_of(runs(tmp_path), "local", CLICK, slurm).gpu_seconds == 39 * 12
    assert usual_of(runs(tmp_path), "docker", CLICK, settings) == Usual()


@pytest.mark.parametrize(
    ("need", "usual", "words"),
    [
        (Need(6, 6, 6), Usual(6600, 52_800), "6 runs, about 11 h, 88 GPU-h"),
        (Need(6, 6, 6), Usual(6600, 0), "6 runs, about 11 h"),
        (Need(12, 18, 6), Usual(600, 3600), "12 to 18 runs, about 1 h 00 min, at most 18 GPU-h"),
        (Need(1, 1, 1), Usual(30, 60), "1 run, about 30 s, less than 0.1 GPU-h"),
        (Need(2, 2, 1), Usual(), "2 runs; how long one takes is not known: none has succeeded there yet"),
    ],
)
def test_what_it_will_cost_in_words(need: Need, usual: Usual, words: str) -> None:
    assert words_of(need, usual) == words
