"""The contract with a team's commands: placeholders and metrics."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import LaunchError, SettingsError
from builder.model.run import Metric
from builder.steps.contract import fill, read_metrics


def test_placeholders_are_filled_wherever_they_stand() -> None:
    command = ("python", "train.py", "--config={config}", "{checkpoint}/model", "{config}{config}")
    assert fill(command, {"config": "c", "checkpoint": "d"}, "") == ("python", "train.py", "--config=c", "d/model", "cc")


@pytest.mark.parametrize("word", ['{"lr": 1}', "${home}", "{}", "{0}", "{A}", "a{b"])
def test_other_braces_are_left_alone(word: str) -> None:
    assert fill((word,), {"config": "c"}, "") == (word,)


def test_a_value_is_not_filled_again() -> None:
    assert fill(("{config}",), {"config": "{checkpoint}", "checkpoint": "d"}, "") == ("{checkpoint}",)


def test_an_unknown_placeholder_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match=r"command of finetune: nothing is known as \{chekpoint\}") as caught:
        fill(("{chekpoint}",), {"config": "c", "checkpoint": "d"}, "[flow.finetune], command of finetune")
    assert caught.value.hint == "did you mean {checkpoint}?"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "metrics.jsonl"
    path.write_text(text)
    return path


def test_metrics_are_read_in_order(tmp_path: Path) -> None:
    text = '{"step": 1, "name": "loss", "value": 2}\n\n{"step": 1.5, "name": "loss", "value": 0.5, "more": true}\n'
    assert read_metrics(write(tmp_path, text)) == (Metric(1, "loss", 2.0), Metric(1.5, "loss", 0.5))


def test_no_file_is_no_metrics(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / "none") == ()


@pytest.mark.parametrize(
    "line",
    [
        "loss 0.5",
        "[]",
        "3",
        '{"step": 1, "name": "loss"}',
        '{"step": 1, "name": 2, "value": 1}',
        '{"step": 1, "name": "a", "value": "1"}',
        '{"step": true, "name": "a", "value": 1}',
        '{"step": 1, "name": "a", "value": null}',
        '{"step": 1, "name": "loss", "va',
    ],
)
def test_what_is_no_metric_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(LaunchError, match=r"metrics.jsonl, line 2: not a metric"):
        read_metrics(write(tmp_path, f'{{"step": 1, "name": "loss", "value": 2}}\n{line}\n'))


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(LaunchError, match="not UTF-8"):
        read_metrics(path)
