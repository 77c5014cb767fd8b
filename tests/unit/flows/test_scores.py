"""Where scores are found, and how commands end."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from builder.errors import LaunchError, SettingsError
from builder.model.json_path import look_up
from builder.model.run import Metric
from builder.settings import ScoreSettings
from builder.steps.command import Ended
from builder.steps.ends import describe, end_of
from builder.steps.scores import find_score
from builder.steps.types import check_types


def ended(tmp_path: Path, log: str = "", *metrics: Metric) -> Ended:
    (tmp_path / "log").write_text(log)
    return Ended(metrics, tmp_path / "log", 1.0)


def test_the_last_score_of_the_contract_counts(tmp_path: Path) -> None:
    metrics = (Metric(1, "score", 0.1), Metric(2, "score", 0.2), Metric(3, "loss", 9))
    assert find_score(ended(tmp_path, "", *metrics), None, tmp_path, "it") == 0.2
    with pytest.raises(LaunchError, match="reported no score"):
        find_score(ended(tmp_path, "", Metric(3, "loss", 9)), None, tmp_path, "it")


def test_what_a_command_reports_counts_before_where_it_would_be_otherwise(tmp_path: Path) -> None:
    log = ScoreSettings(log="acc=([0-9.]+)")
    assert find_score(ended(tmp_path, "acc=0.3", Metric(1, "score", 0.2)), log, tmp_path, "it") == 0.2
    assert find_score(ended(tmp_path, "acc=0.3", Metric(1, "loss", 0.2)), log, tmp_path, "it") == 0.3


def test_a_score_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "eval.json").write_text(json.dumps({"click": {"acc": 0.75, "ok": True}}))
    assert find_score(ended(tmp_path), ScoreSettings("eval.json", "$.click.acc"), tmp_path, "it") == 0.75
    for setting, message in (
        (ScoreSettings("eval.json", "$.drag.acc"), r"nothing at \$.drag.acc: no drag"),
        (ScoreSettings("eval.json", "$.click.ok"), "is no number: True"),
        (ScoreSettings("eval.json", "$.click"), "is no number"),
        (ScoreSettings("none.json", "$.a"), "there is no .*none.json"),
    ):
        with pytest.raises(LaunchError, match=message):
            find_score(ended(tmp_path), setting, tmp_path, "it")
    (tmp_path / "eval.json").write_text("{")
    with pytest.raises(LaunchError, match="is not JSON"):
        find_score(ended(tmp_path), ScoreSettings("eval.json", "$.a"), tmp_path, "it")


@pytest.mark.parametrize(
    ("path", "value"), [("$.a[1].b", 2), ("a[0]", 1), ("$['c d']", 3), ('$["c d"]', 3), ("$.a[5]", None), ("$..a", None), ("$.a.b", None)]
)
def test_paths_in_a_document(path: str, value: Any) -> None:
    document = {"a": [1, {"b": 2}], "c d": 3}
    if value is None:
        with pytest.raises((LookupError, ValueError)):
            look_up(document, path)
    else:
        assert look_up(document, path) == value


def test_a_score_in_the_log(tmp_path: Path) -> None:
    log = "acc=0.1 acc=0.2\nnothing\nacc=0.3 (best)\n"
    assert find_score(ended(tmp_path, log), ScoreSettings(log="acc=([0-9.]+)"), tmp_path, "it") == 0.3
    with pytest.raises(LaunchError, match="no line matches"):
        find_score(ended(tmp_path, log), ScoreSettings(log="f1=([0-9.]+)"), tmp_path, "it")
    with pytest.raises(LaunchError, match="is no number"):
        find_score(ended(tmp_path, log), ScoreSettings(log=r"acc=.*\((\w+)"), tmp_path, "it")


@pytest.mark.parametrize(
    ("code", "named", "end"),
    [
        (3, {}, "exit:3"),
        (-signal.SIGKILL, {}, "killed"),
        (137, {}, "killed"),
        (143, {}, "killed"),
        (-signal.SIGKILL, {"out_of_memory": True}, "memory"),
        (1, {"out_of_memory": True}, "exit:1"),
        (-signal.SIGTERM, {"timed_out": True}, "timeout"),
    ],
)
def test_how_a_command_ended(code: int, named: dict[str, bool], end: str) -> None:
    assert end_of(code, **named) == end
    assert describe(code, end, 5.0)


def test_types_of_the_configuration() -> None:
    values = {"lr": 1, "name": "x", "deep": {"layers": 3, "on": True}}
    check_types(values, {"lr": "float", "name": "str", "deep.layers": "int", "deep.on": "bool", "deep": "dict"}, "c.yaml")
    for schema, message in (
        ({"deep.size": "int"}, "deep.size: c.yaml does not have it; expected int"),
        ({"name": "int"}, r"name: expected int, got 'x' \(str\), from c.yaml"),
        ({"deep.on": "int"}, "deep.on: expected int, got True"),
    ):
        with pytest.raises(SettingsError, match=message):
            check_types(values, schema, "c.yaml")


def test_a_score_is_a_finite_number(tmp_path: Path) -> None:
    for text in ("acc=nan", "acc=1e999"):
        with pytest.raises(LaunchError, match="the score is"):
            find_score(ended(tmp_path, text), ScoreSettings(log="acc=(.*)"), tmp_path, "it")
    with pytest.raises(LaunchError, match="the score is nan"):
        find_score(ended(tmp_path, "", Metric(1, "score", float("nan"))), None, tmp_path, "it")
