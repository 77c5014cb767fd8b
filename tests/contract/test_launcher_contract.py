"""What every launcher must do: here and on a real Slurm. Gangs of pods do it in tests/e2e/test_gangs_of_pods.py, where there are images."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.launch import Job
from builder.launch.here import Here
from builder.launch.slurm.bastion import Bastion
from builder.launch.slurm.launcher import Slurm
from tests.fixtures.launchers import check_contract

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(params=["here", pytest.param("slurm", marks=pytest.mark.slurm)])
def launch(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "here":
        yield lambda: Here(os.environ)
        return
    settings = request.getfixturevalue("slurm").settings(tmp_path / "cluster")
    run, bastions = f"run-{uuid.uuid4().hex[:8]}", []

    def made() -> Slurm:
        bastions.append(Bastion(settings))
        return Slurm(bastions[-1], run)

    yield made
    for bastion in bastions:
        bastion.close()


def test_a_launcher(launch: Any, tmp_path: Path) -> None:
    code, base = tmp_path / "code", tmp_path / "run"
    code.mkdir()
    (base / "checkpoint").mkdir(parents=True)
    (base / "config.yaml").write_text("lr: 1\n")
    places = {"{config}": str(base / "config.yaml"), "{checkpoint}": str(base / "checkpoint")}

    def job(*argv: str, attempt: int = 1) -> Job:
        words = tuple(places.get(word, word) for word in argv)
        files: dict[str, Any] = {"base": base, "inputs": (base / "config.yaml",), "outputs": (base / "checkpoint",)}
        return Job("step", words, code, base / f"log-{attempt}", attempt=attempt, **files)

    check_contract(launch, job)
