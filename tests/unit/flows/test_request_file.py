"""The request that is kept with a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from builder.errors import DataError
from builder.settings import ErrorSettings, FlowSettings
from builder.steps.config import resolve
from builder.steps.request import Origin, Task
from builder.steps.request_file import keep_request, kept_request
from builder.steps.root import objects_of
from tests.fixtures.requests import request_in


def test_it_comes_back_as_it_was_and_the_first_one_stays(tmp_path: Path) -> None:
    settings = FlowSettings(
        command=("python", "train.py"), evals={"click": ("python", "e.py")}, errors={"evaluate": ErrorSettings(retry=2)}
    )
    request = request_in(tmp_path, settings, evals=("click",), overrides=("lr=0.1",), origin=Origin(who="ada"))
    keep_request(request)
    keep_request(replace(request, overrides=("lr=0.2",)))
    assert kept_request(objects_of(request), request.run) == request


def test_the_first_step_keeps_it_too(tmp_path: Path) -> None:
    request = request_in(tmp_path)
    resolve(Task(request))
    assert kept_request(objects_of(request), request.run) == request


def test_none_and_a_damaged_one_are_errors(tmp_path: Path) -> None:
    request = request_in(tmp_path)
    with pytest.raises(DataError, match="nothing says what exactly run-1 was"):
        kept_request(objects_of(request), "run-1")
    objects_of(request).put("runs/run-1/request.json", b'{"run": 1}')
    with pytest.raises(DataError, match="cannot be read"):
        kept_request(objects_of(request), "run-1")
