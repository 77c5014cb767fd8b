"""What a command asks to be started: every line is checked before the first run is started, and each is started once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from builder.data.ledger import RUN, Ledger
from builder.errors import ClusterError, LaunchError
from builder.runs.child_here import command_line
from builder.runs.children import announce, following, refuse
from builder.settings import FlowSettings
from builder.steps.outbox import DEEPEST, MOST, check_depth, child_name, is_same, read_outbox, start_asked
from builder.steps.request import Origin, Request, Start, Task
from builder.steps.root import ledger_of
from tests.fixtures.requests import request_in


@dataclass
class Fake:
    """Starts nothing, and says which runs it was to start; refuses those of the flow `no`."""

    prepared: list[str] = field(default_factory=list)
    started: list[str] = field(default_factory=list)

    def prepare(self, request: Request, start: Start) -> Callable[[], object]:
        if start.flow == "no":
            raise ClusterError("the cluster does not want it", "ask it nicely")
        self.prepared.append(start.run)
        return lambda: self.started.append(start.run)


def request_with(tmp_path: Path, *lines: object, **fields: Any) -> Request:
    (tmp_path / "out/finetune").mkdir(parents=True, exist_ok=True)
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    (tmp_path / "out/finetune/outbox.jsonl").write_text(text)
    settings = FlowSettings(config="c.yaml", evals={"click": ("true",), "type": ("true",)})
    request = request_in(tmp_path, settings, **fields)
    (tmp_path / "code/c.yaml").write_text("lr: 0.1\nname: x\nsizes: [1]\n")
    return request


def test_what_a_line_says(tmp_path: Path) -> None:
    origin = Origin(who="ada", depth=1, main=True, schedule="nightly", retried="old", redo="freeze")
    asked = {
        "start": "other",
        "rev": "main~3",
        "set": {"lr": 1e-5, "name": 'a "b"', "sizes": [1, 2], "on": True},
        "evals": ["x"],
        "on": "docker",
    }
    (first, second) = read_outbox(request_with(tmp_path, asked, "", {"start": "finetune"}, origin=origin), "finetune")
    assert (first.flow, first.rev, first.evals, first.on) == ("other", "main~3", ("x",), "docker")
    assert first.overrides == ("lr=1e-05", 'name="a \\"b\\""', "sizes=[1, 2]", "on=true")
    assert first.origin == Origin(who="ada", parent="run-1", depth=2, main=True)
    assert (second.flow, second.rev, second.overrides, second.evals, second.on) == ("finetune", "same", (), (), "")
    assert second.where == "run-1: step finetune: line 3 of its outbox"
    assert Start.unpack(first.pack()) == first


def test_values_are_read_as_they_were_meant(tmp_path: Path) -> None:
    from builder.steps.config import load

    (start,) = read_outbox(request_with(tmp_path, {"start": "finetune", "set": {"lr": 1e-5, "name": "true", "sizes": [2, 3]}}), "finetune")
    found = load("c.yaml", {"c.yaml": b"lr: 0.1\nname: x\nsizes: [1]\n"}.get, start.overrides)
    assert found.values == {"lr": 1e-5, "name": "true", "sizes": [2, 3]}


def test_no_file_asks_for_nothing(tmp_path: Path) -> None:
    facts: dict[str, Any] = {}
    start_asked(Task(request_in(tmp_path)), "finetune", facts)
    assert facts == {}


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("{", "line 2 of its outbox is not JSON: {", "every line of $BUILDER_OUTBOX"),
        ("[]", "is no object", "every line"),
        ({"rev": "same"}, "names no flow to start", "every line"),
        ({"start": "Fine_tune"}, "names no flow to start", "every line"),
        ({"start": ""}, 'start cannot be ""', "every line"),
        ({"start": "finetune", "sets": {}}, "a key that means nothing: sets", "did you mean set?"),
        ({"start": "finetune", "rev": 7}, "rev cannot be 7", "every line"),
        ({"start": "finetune", "rev": ""}, 'rev cannot be ""', "every line"),
        ({"start": "finetune", "set": ["lr=1"]}, 'set cannot be ["lr=1"]', "every line"),
        ({"start": "finetune", "set": {"a=b": 1}}, "'a=b' in set cannot be a key", "every line"),
        ({"start": "finetune", "set": {"evals": ["click"]}}, "'evals' in set cannot be a key", "stands beside"),
        ({"start": "finetune", "evals": "click"}, 'evals cannot be "click"', "every line"),
        ({"start": "finetune", "evals": [1]}, "evals must be the names", "evals"),
        ({"start": "finetune", "on": "mars"}, "a run cannot be on mars", "local, docker, argo"),
        ({"start": "finetun"}, "there is no [flow.finetun] at commit aaaaaaaaaaaa", "did you mean finetune?"),
        ({"start": "finetune", "evals": ["klick"]}, "[flow.finetune.evals] has no action type klick", "it has click, type"),
        ({"start": "finetune", "set": {"lrr": 1}}, "lrr: c.yaml has no such key", "did you mean lr?"),
        ({"start": "finetune", "rev": "aaaaaaa", "set": {"lr": "fast"}}, "lr: c.yaml has a number here, 'fast' is text", ""),
    ],
)
def test_a_line_that_is_wrong_starts_nothing(tmp_path: Path, line: object, message: str, hint: str) -> None:
    fake = Fake()
    request = request_with(tmp_path, {"start": "finetune"}, line, flows=("finetune", "other"))
    with pytest.raises(LaunchError) as caught:
        start_asked(Task(request, starter=fake), "finetune", {})
    assert "run-1: step finetune: line 2 of its outbox" in caught.value.message
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert fake.prepared == []


def test_another_revision_may_have_other_keys_and_flows(tmp_path: Path) -> None:
    line = {"start": "new", "rev": "main", "set": {"lrr": 1}, "evals": ["klick"]}
    (start,) = read_outbox(request_with(tmp_path, line, flows=("finetune",)), "finetune")
    assert start.overrides == ("lrr=1",)


def test_what_cannot_be_started_keeps_the_others_back(tmp_path: Path) -> None:
    fake = Fake()
    with pytest.raises(LaunchError, match=r"line 2 of its outbox: the cluster does not want it") as caught:
        start_asked(Task(request_with(tmp_path, {"start": "finetune"}, {"start": "no"}), starter=fake), "finetune", {})
    assert caught.value.hint == "ask it nicely"
    assert (len(fake.prepared), fake.started) == (1, [])


def test_a_step_that_is_tried_again_asks_for_the_same_runs(tmp_path: Path) -> None:
    names = []
    for _ in range(2):
        fake, facts = Fake(), {}
        start_asked(Task(request_with(tmp_path, {"start": "finetune"}, {"start": "other"}), starter=fake), "finetune", facts)
        assert facts == {"children": fake.started}
        names.append(fake.started)
    assert names[0] == names[1]
    assert len(set(names[0])) == 2
    assert all(len(name) <= 38 for name in (*names[0], child_name("f" * 22, "x")))


def test_names_differ_by_run_step_and_line() -> None:
    asking = [("a", "finetune", 1), ("b", "finetune", 1), ("a", "evaluate-click", 1), ("a", "finetune", 2)]
    assert len({child_name("finetune", *words) for words in asking}) == 4


def test_without_a_starter_the_record_says_what_to_start(tmp_path: Path) -> None:
    facts: dict[str, Any] = {}
    start_asked(Task(request_with(tmp_path, {"start": "finetune"})), "finetune", facts)
    assert [asked["run"] for asked in facts["asked"]] == facts["children"]
    json.dumps(facts)


def test_runs_that_start_each_other_come_to_an_end(tmp_path: Path) -> None:
    def asking(depth: int) -> Request:
        return request_with(tmp_path, {"start": "finetune"}, origin=Origin(depth=depth))

    assert len(read_outbox(asking(DEEPEST - 1), "finetune")) == 1
    with pytest.raises(LaunchError, match=f"run-1 is the last of {DEEPEST} runs that started each other") as caught:
        read_outbox(asking(DEEPEST), "finetune")
    assert "builder show" in caught.value.hint


def test_a_step_may_start_many_runs_but_not_any_number(tmp_path: Path) -> None:
    lines = [{"start": "finetune"}] * MOST
    assert len(read_outbox(request_with(tmp_path, *lines), "finetune")) == MOST
    with pytest.raises(LaunchError, match=f"asks for {MOST + 1} runs"):
        read_outbox(request_with(tmp_path, *lines, {"start": "finetune"}), "finetune")


@pytest.mark.parametrize(
    ("rev", "same"), [("same", True), ("a" * 40, True), ("a" * 7, True), ("a" * 6, False), ("main", False), ("b" * 40, False)]
)
def test_the_commit_of_the_run_that_asks(rev: str, same: bool) -> None:
    assert is_same(Start("r", "f", Origin(), rev), "a" * 40) is same


@pytest.mark.parametrize(
    ("state", "names"),
    [("succeeded", ["always", "good"]), ("failed", ["always", "bad"]), ("stopped", []), ("running", []), ("lost", [])],
)
def test_flows_that_come_after_another(tmp_path: Path, state: str, names: list[str]) -> None:
    request = request_in(tmp_path, then={"always": "ended", "bad": "failed", "good": "succeeded"}, origin=Origin(depth=2))
    starts = list(following(request, state))
    assert [start.flow for start in starts] == names
    assert all(start.origin.parent == "run-1" and start.origin.depth == 3 and start.rev == "same" for start in starts)


def test_a_chain_that_bites_its_tail(tmp_path: Path) -> None:
    (start,) = following(request_in(tmp_path, then={"again": "ended"}, origin=Origin(depth=DEEPEST)), "succeeded")
    with pytest.raises(LaunchError, match="may start no other"):
        check_depth(start)


def test_a_run_is_announced_once(tmp_path: Path) -> None:
    ledger, start = _ledger(tmp_path), Start("child", "finetune", Origin(parent="run-1", depth=1), overrides=("lr=1",))
    assert announce(ledger, start, {"on": "local"})
    assert not announce(ledger, start, {"on": "local"})
    record = ledger.read("child")[RUN]
    assert (record["state"], record["flow"], record["origin"]["parent"], record["on"]) == ("starting", "finetune", "run-1", "local")
    refuse(ledger, start, LaunchError("it cannot", "do something"))
    record = ledger.read("child")[RUN]
    assert (record["state"], record["error"], record["hint"], record["on"]) == ("failed", "it cannot", "do something", "local")
    refuse(ledger, start, LaunchError("another reason"))
    assert ledger.read("child")[RUN]["error"] == "it cannot"


def test_the_command_line_of_a_run(tmp_path: Path) -> None:
    start = Start("child", "finetune", Origin(), "same", ("lr=1", "--on=mars"), ("click", "type"))
    line = command_line(start, "a" * 40, "local", tmp_path)
    at = line.index("--")
    assert line[at:] == ["--", f"finetune@{'a' * 40}", "lr=1", "--on=mars", "evals=click,type"]
    assert line[at - 7 : at - 1] == ["run", "--on", "local", "--repo", str(tmp_path), "--child"]
    elsewhere = command_line(replace(start, rev="main", evals=()), "a" * 40, "argo", tmp_path)
    assert "--detach" in elsewhere
    assert elsewhere[-3] == "finetune@main"


def _ledger(tmp_path: Path) -> Ledger:
    return ledger_of(request_in(tmp_path))


def test_a_flow_asks_with_a_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from builder import start_run

    request = request_with(tmp_path)
    monkeypatch.setenv("BUILDER_OUTBOX", str(tmp_path / "out/finetune/outbox.jsonl"))
    start_run("other", lr=1e-4)
    start_run("finetune", rev="main", evals=["click"], on="argo")
    first, second = read_outbox(request, "finetune")
    assert (first.flow, first.rev, first.overrides, first.evals) == ("other", "same", ("lr=0.0001",), ())
    assert (second.rev, second.evals, second.on) == ("main", ("click",), "argo")


@pytest.mark.parametrize(
    ("words", "message"), [({"rev": ""}, "rev cannot be"), ({"evals": "click"}, "evals cannot be"), ({"on": "mars"}, "on mars")]
)
def test_a_call_that_cannot_be_meant(tmp_path: Path, words: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from builder import start_run

    monkeypatch.setenv("BUILDER_OUTBOX", str(tmp_path / "outbox"))
    with pytest.raises(LaunchError, match=message):
        start_run("finetune", **words)
    assert not (tmp_path / "outbox").exists()


def test_a_call_outside_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from builder import start_run

    monkeypatch.delenv("BUILDER_OUTBOX", raising=False)
    with pytest.raises(LaunchError, match=r"\$BUILDER_OUTBOX names no file"):
        start_run("finetune")
