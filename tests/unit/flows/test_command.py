"""A team's command as a step runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from builder.errors import LaunchError
from builder.settings import LaunchSettings, SlurmSettings
from builder.steps.command import limit_of, run_command, timed
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


def test_how_long_a_command_may_take() -> None:
    def limits(on: Literal["here", "slurm"], timeout: str = "", time: str = "", queue: str = "") -> tuple[float | None, str]:
        launch = LaunchSettings(on, timeout, slurm=SlurmSettings(time=time, queue_limit=queue))
        return limit_of(launch), timed(launch).time

    assert limits("here", "1h", "2h") == (3600, "1h")
    assert limits("here") == (None, "")
    assert limits("slurm", "90m") == (None, "90m"), "the queue may be long: its time begins when it starts"
    assert limits("slurm", "90m", "12h")[1] == limits("slurm", "12h", "90m")[1] == "90m"
    assert limits("slurm", "", "1h", "2h") == (3 * 3600 + 600, "1h")
    assert limits("slurm", queue="2h") == (None, "")
