"""An evaluation gets a verified copy of the checkpoint, of its own at every try."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from builder.data.checkpoints import freeze
from builder.data.directory import DirectoryObjects
from builder.errors import IntegrityError
from builder.model.run import Evaluation
from builder.settings import ErrorSettings, FlowSettings
from builder.steps import evaluate, perform
from builder.steps.config import Config
from builder.steps.request import Task
from tests.fixtures.requests import request_in

SCORE = """
import json, os, pathlib, sys
weights = pathlib.Path(os.environ["BUILDER_CHECKPOINT"], "weights")
assert weights.read_text() == "0.5", "what the try before wrote is here"
weights.write_text("spoilt")
mark = pathlib.Path("tried")
if not mark.exists():
    mark.touch()
    sys.exit(75)
line = {"step": 1, "name": "score", "value": 0.5}
pathlib.Path(os.environ["BUILDER_METRICS"]).write_text(json.dumps(line))
"""


def frozen(tmp_path: Path) -> str:
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained/weights").write_text("0.5")
    return freeze(DirectoryObjects(tmp_path / "data"), tmp_path / "trained").digest


def task(tmp_path: Path) -> Task:
    rule = ErrorSettings(retry=1, on=("exit:75",))
    settings = FlowSettings(evals={"click": (sys.executable, "-c", SCORE)}, errors={"evaluate": rule})
    return Task(request_in(tmp_path, settings, evals=("click",)))


def test_a_second_try_gets_a_copy_that_nobody_has_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perform.time, "sleep", lambda _: None)
    checkpoint = frozen(tmp_path)
    found = evaluate.run(task(tmp_path), Config(), checkpoint, "click")
    assert (found.score, found.error) == (0.5, "")
    assert (tmp_path / "trained/weights").read_text() == "0.5"


def test_a_checkpoint_that_was_changed_is_not_evaluated(tmp_path: Path) -> None:
    checkpoint = frozen(tmp_path)
    (blob,) = (tmp_path / "data/blobs").rglob("????????????*")
    blob.chmod(0o644)
    blob.write_text("0.9")
    with pytest.raises(IntegrityError, match="weights of checkpoint"):
        evaluate.run(task(tmp_path), Config(), checkpoint, "click")


def test_a_fallback_stands_where_nothing_could_be_scored(tmp_path: Path) -> None:
    checkpoint = frozen(tmp_path)
    settings = FlowSettings(
        evals={"click": (sys.executable, "-c", "raise SystemExit(3)")}, errors={"evaluate-click": ErrorSettings(fallback=0.1)}
    )
    found = evaluate.run(Task(request_in(tmp_path, settings, evals=("click",))), Config(), checkpoint, "click")
    assert isinstance(found, Evaluation)
    assert found.score == 0.1
    assert "ended with exit code 3" in found.error
