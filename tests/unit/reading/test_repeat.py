"""The command that repeats a run says all that is needed, and no more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from builder.cli.starting import Target
from builder.runs.launches import placed
from builder.runs.prepare import Overrides
from builder.runs.repeat import repeat
from builder.settings import FlowSettings, LaunchSettings, RunSettings, Settings
from builder.steps.request import Request
from tests.fixtures.requests import request_in

FLOW = FlowSettings(command=("true",), config="c.yaml", evals={"click": ("true",), "type": ("true",)})
BEGIN, END = f"builder run finetune@{'a' * 12}", "--again"


def request(tmp_path: Path, **fields: object) -> Request:
    return replace(request_in(tmp_path, FLOW), evals=("click", "type"), config="c.yaml", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, ""),
        ({"overrides": ("lr=0.3", "name=two words")}, "lr=0.3 'name=two words'"),
        ({"evals": ("click",)}, "evals=click"),
        ({"config": "other.yaml"}, "--config other.yaml"),
        ({"on": "argo"}, "--on argo"),
        ({"launch": {"default": LaunchSettings()}}, ""),
        ({"launch": placed({}, ["finetune=slurm"])}, "--place finetune=slurm"),
    ],
)
def test_what_differs_from_the_settings_is_said(tmp_path: Path, fields: dict[str, object], words: str) -> None:
    asked = replace(request(tmp_path), **fields)  # type: ignore[arg-type]
    assert repeat(asked, Settings()) == " ".join(filter(None, (BEGIN, words, END)))


def test_where_runs_go_anyway_need_not_be_said(tmp_path: Path) -> None:
    assert repeat(request(tmp_path, on="argo"), Settings(run=RunSettings(on="argo"))) == f"{BEGIN} {END}"
    assert repeat(request(tmp_path), Settings(run=RunSettings(on="argo"))) == f"{BEGIN} --on local {END}"


def test_the_command_line_understands_it(tmp_path: Path) -> None:
    import shlex

    asked = replace(request(tmp_path), overrides=("lr=0.3", "name=two words"), evals=("click",))
    _, _, target, *rest = shlex.split(repeat(asked, Settings()))
    assert Target.parse(target) == Target("finetune", "a" * 12)
    assert Overrides.parse(rest[:-1]) == Overrides(("lr=0.3", "name=two words"), ("click",))


def test_a_team_s_own_flow_has_its_parameters(tmp_path: Path) -> None:
    own = replace(request_in(tmp_path, FlowSettings(file="flow.py")), overrides=("alpha=2",))
    assert repeat(own, Settings()) == f"{BEGIN} alpha=2 {END}"
