"""The flow `train` on this machine: what it trains is what the fine-tuning starts from that it starts."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from builder.cli.frame import run as builder
from builder.data.directory import DirectoryObjects
from builder.data.ledger import Ledger
from tests.fixtures.ranks import MEET
from tests.fixtures.repositories import Repository
from tests.fixtures.servers import SlurmServer
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.minutes, pytest.mark.timeout(300)]

SETTINGS = """
[image]
base = "scratch"

[flow.train]
config = "config.yaml"
command = ["python", "train.py", "{config}", "{initial}"]

[flow.finetune]
config = "config.yaml"
command = ["python", "train.py", "{config}", "{initial}"]
[flow.finetune.evals]
click = ["python", "score.py", "{checkpoint}"]

[flow.mourn]
use = "finetune"
after = "train"
only_if = "failed"
command = ["sh", "-c", "echo 0.1 >$BUILDER_CHECKPOINT/weights"]
[flow.mourn.evals]
click = ["python", "score.py", "{checkpoint}"]
"""
# The weights are the sum of those from which it starts and what the configuration says.
TRAIN = """
import json, os, pathlib, sys
config, initial = sys.argv[1:]
assert initial == os.environ.get("BUILDER_INITIAL", "")
before = float(pathlib.Path(initial, "weights").read_text()) if initial else 0.0
weights = before + float(pathlib.Path(config).read_text().split()[-1])
pathlib.Path(os.environ["BUILDER_CHECKPOINT"], "weights").write_text(str(weights))
with open(os.environ["BUILDER_METRICS"], "a") as lines:
    print(json.dumps({"step": 1, "name": "loss", "value": 1.0 - weights}), file=lines)
"""
LOSS = '{"step": 1, "name": "loss", "value": 0.5}\n'
WEIGHTS = """
if rank == 0:
    with open(os.path.join(os.environ["BUILDER_CHECKPOINT"], "weights"), "w") as file:
        file.write("0.5")
"""
SCORE = """
import json, os, pathlib, sys
score = float(pathlib.Path(sys.argv[1], "weights").read_text())
pathlib.Path(os.environ["BUILDER_METRICS"]).write_text(json.dumps({"step": 1, "name": "score", "value": score}))
"""


@pytest.fixture
def team(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Repository:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in [name for name in os.environ if name.startswith(("METAFLOW_", "BUILDER_STORE", "BUILDER_DATA", "BUILDER_RUN"))]:
        monkeypatch.delenv(name)
    repository = Repository.make(tmp_path / "team")
    commit(repository, {"builder.toml": SETTINGS, "train.py": TRAIN, "score.py": SCORE, "config.yaml": "lr: 0.25\n"})
    monkeypatch.chdir(repository.directory)
    return repository


def commit(repository: Repository, files: Mapping[str, str]) -> str:
    for name, text in files.items():
        (repository.directory / name).write_text(text)
    repository.text("add", "--all")
    repository.text("commit", "--quiet", "--message", "A commit")
    return repository.text("rev-parse", "HEAD")


def run_json(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    code = builder([*words, "-o", "json"])
    said = capsys.readouterr()
    assert said.out, (code, said.err)
    found: dict[str, Any] = json.loads(said.out)
    return found


def ledger(repository: Repository) -> Ledger:
    return Ledger(DirectoryObjects(repository.directory / ".builder/data"))


def ended(repository: Repository, run: str) -> dict[str, Any]:
    return until(lambda: "ended" in (records := ledger(repository).read(run)).get("run", {}) and records, 120)  # type: ignore[no-any-return]


def test_what_was_trained_is_fine_tuned_at_the_same_commit(team: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    trained = run_json(capsys, "run", "train@HEAD", "lr=0.5")
    assert (trained["state"], trained["loss"], trained["scores"]) == ("succeeded", 0.5, {})
    records = ledger(team).read(trained["run"])
    assert set(records) == {"run", "start", "train", "freeze", "handover", "end"}
    (child,) = records["handover"]["children"]
    assert child.startswith("finetune-from-")
    tuned = ended(team, child)
    assert (tuned["run"]["state"], tuned["run"]["commit"]) == ("succeeded", trained["commit"]), tuned
    assert tuned["run"]["scores"] == {"click": 0.75}, "0.5 of the training, 0.25 of its own"
    assert (tuned["run"]["origin"]["parent"], tuned["run"]["origin"]["depth"]) == (trained["run"], 1)

    again = run_json(capsys, "retry", trained["run"], "--from", "handover")
    assert again["checkpoint"] == trained["checkpoint"]
    assert ledger(team).read(again["run"])["train"]["kept"] == trained["run"]
    ended(team, ledger(team).read(again["run"])["handover"]["children"][0])

    by_hand = run_json(capsys, "run", "finetune@HEAD", "--initial", trained["run"], "lr=0.1")
    assert by_hand["scores"] == {"click": 0.6}
    assert f"--initial {trained['checkpoint']}" in run_json(capsys, "show", by_hand["run"])["repeat"]
    without = run_json(capsys, "run", "finetune@HEAD", "lr=0.1")
    assert without["scores"] == {"click": 0.1}, "what it starts from counts: it is not the very same"


@pytest.mark.slurm
def test_the_training_is_a_gang_on_slurm(team: Repository, capsys: pytest.CaptureFixture[str], slurm: SlurmServer, tmp_path: Path) -> None:
    """One word moves it: four nodes train, and their first one's checkpoint is what is fine-tuned here."""
    settings = slurm.settings(tmp_path / "cluster", setup=(f"export PATH={Path(sys.executable).parent}:$PATH",))
    words = {key: getattr(settings, key) for key in ("bastion", "user", "identity_file", "known_hosts", "root")}
    lines = [f"{key} = {json.dumps(value)}" for key, value in words.items()]
    table = "\n".join(
        ["", "[launch.train.slurm]", *lines, f"setup = {json.dumps(list(settings.setup))}", "nodes = 4", "gpus_per_node = 8", ""]
    )
    meet = MEET.replace('file.write(f"rank {rank}\\n")', f"file.write({json.dumps(LOSS)})")
    assert meet != MEET
    text = SETTINGS.replace('"train.py", "{config}"', '"meet.py", "{config}"', 1)
    commit(team, {"builder.toml": text + table, "meet.py": meet + WEIGHTS})
    trained = run_json(capsys, "run", "train@HEAD", "--place", "train=slurm")
    assert (trained["state"], trained["loss"]) == ("succeeded", 0.5), trained
    (child,) = ledger(team).read(trained["run"])["handover"]["children"]
    assert ended(team, child)["run"]["scores"] == {"click": 0.75}
    assert builder(["logs", trained["run"], "train"]) == 0
    log = capsys.readouterr().out
    assert all(f"{rank}: rank {rank} of 4 has met the others" in log for rank in range(4))


def test_a_training_that_fails_starts_what_mourns_it(team: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    commit(team, {"train.py": "raise SystemExit(7)"})
    failed = run_json(capsys, "run", "train@HEAD")
    assert failed["state"] == "failed"
    records = ledger(team).read(failed["run"])
    assert records["train"]["end"] == "exit:7"
    (child,) = records["run"]["children"]
    assert child.startswith("mourn-from-")
    assert ended(team, child)["run"]["state"] == "succeeded"


def test_what_cannot_come_of_it_is_refused_first(team: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    for before, after, expected in (
        ("[flow.train]\n", '[flow.train]\nstarts = "publish"\n', "there is no [flow.publish]"),
        ("[flow.finetune]\n", '[flow.finetune]\nafter = "train"\n', "[flow.train] starts finetune already"),
        ("[flow.finetune]\n", '[flow.train.evals]\nclick = ["true"]\n[flow.finetune]\n', "train evaluates nothing"),
    ):
        commit(team, {"builder.toml": SETTINGS.replace(before, after, 1)})
        assert builder(["run", "train@HEAD"]) != 0
        assert expected in capsys.readouterr().err
    commit(team, {"builder.toml": SETTINGS.replace("[flow.train]\n", '[flow.train]\nstarts = ""\n')})
    trained = run_json(capsys, "run", "train@HEAD")
    assert ledger(team).read(trained["run"])["handover"].get("children") is None
    assert builder(["run", "finetune@HEAD", "--initial", "nothing-1234567-abcdef"]) != 0
    assert "there is no such run" in capsys.readouterr().err
