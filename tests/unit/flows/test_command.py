"""A team's command as a step runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import LaunchError
from builder.model.run import Place, Request
from builder.steps.command import run_command


@pytest.mark.parametrize(
    ("values", "program", "key", "place"),
    [
        ({"checkpoint": "c"}, "trainer-9", "[flow.mine] command: ", "looked for on PATH, /some/bin:"),
        ({"action": "click"}, "trainer-9", "[flow.mine.evals] click: ", "looked for on PATH, /some/bin:"),
        ({"checkpoint": "c"}, "./train.sh", "[flow.mine] command: ", "looked for in /"),
    ],
)
def test_a_program_that_is_not_there(tmp_path: Path, values: dict[str, str], program: str, key: str, place: str) -> None:
    here = Place(
        workdir=str(tmp_path),
        output=str(tmp_path / "out"),
        data=str(tmp_path / "data"),
        pythonpath=(),
        python="/some/bin/python",
        env={},
    )
    request = Request("mine-1", "mine", "a" * 40, "r@sha256:0", (program,), {}, here, "", ())
    with pytest.raises(LaunchError) as caught:
        run_command(request, "finetune", (program,), values)
    assert caught.value.message.startswith(f"{key}{program} ")
    assert place in caught.value.hint
    assert "doctor" not in caught.value.hint
