"""A team's command as a step runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import LaunchError
from builder.steps.command import run_command
from builder.steps.request import Place
from tests.fixtures.requests import request_in


@pytest.mark.parametrize(
    ("values", "program", "key", "place"),
    [
        ({"checkpoint": "c"}, "trainer-9", "[flow.mine] command: ", "looked for on PATH, /some/bin:"),
        ({"action": "click"}, "trainer-9", "[flow.mine.evals] click: ", "looked for on PATH, /some/bin:"),
        ({"checkpoint": "c"}, "./train.sh", "[flow.mine] command: ", "looked for in /"),
    ],
)
def test_a_program_that_is_not_there(tmp_path: Path, values: dict[str, str], program: str, key: str, place: str) -> None:
    here = Place(workdir=str(tmp_path), output=str(tmp_path / "out"), python="/some/bin/python")
    request = request_in(tmp_path, run="mine-1", flow="mine", place=here)
    with pytest.raises(LaunchError) as caught:
        run_command(request, "finetune", (program,), values)
    assert caught.value.message.startswith(f"{key}{program} ")
    assert place in caught.value.hint
    assert "doctor" not in caught.value.hint
