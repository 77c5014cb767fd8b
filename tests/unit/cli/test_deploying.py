"""What `builder deploy` refuses before anything is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.cli import frame
from builder.cli.deploying import chosen_flows, chosen_schedules
from builder.cli.deploying_to import owned_by
from builder.errors import SettingsError, UsageError
from builder.settings import FlowSettings, ScheduleSettings, Settings

FLOWS = {"finetune": FlowSettings(), "train": FlowSettings()}


def scheduled(**schedules: ScheduleSettings) -> Settings:
    return Settings(flow=FLOWS, schedule=schedules)


def test_all_flows_or_those_that_are_named() -> None:
    assert chosen_flows(scheduled(), ()) == ["finetune", "train"]
    assert chosen_flows(scheduled(), ("train", "train")) == ["train"]
    with pytest.raises(UsageError, match=r"there is no \[flow\.x\]") as error:
        chosen_flows(scheduled(), ("x",))
    assert error.value.hint == "flows here: finetune, train"
    with pytest.raises(UsageError, match=r"there is no \[flow\.NAME\]"):
        chosen_flows(Settings(), ())


def test_schedules_of_the_flows() -> None:
    nightly, train = ScheduleSettings("finetune", "0 2 * * *"), ScheduleSettings(cron="@weekly")
    settings = scheduled(train=train, nightly=nightly)
    assert chosen_schedules(settings, ["finetune", "train"]) == {"nightly": nightly, "train": train}
    assert chosen_schedules(settings, ["train"]) == {"train": train}, "its flow is called like it"


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (ScheduleSettings("finetune"), r"\[schedule\.nightly\] has no cron"),
        (ScheduleSettings("other", "@daily"), r"\[schedule\.nightly\] flow: the commit has no \[flow\.other\]"),
        (ScheduleSettings("", "@daily"), r"the commit has no \[flow\.nightly\]"),
    ],
)
def test_a_schedule_that_starts_nothing(schedule: ScheduleSettings, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        chosen_schedules(scheduled(nightly=schedule), ["train"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--bootstrap", "finetune"], "--bootstrap makes a namespace ready"),
        (["--bootstrap", "--prune"], "--bootstrap makes a namespace ready"),
        (["--to", "manifests", "--prune"], "--prune is for the cluster"),
        (["--to", "manifests", "--again"], "--again is for the cluster"),
        (["--push"], "--push is for a directory in a git repository"),
        (["--to", "cluster", "--record"], "--record is for a directory in a git repository"),
        (["--to", "manifests", "--push", "--no-record"], "--push pushes the commit that --no-record does not make"),
        (["--schedule", "nightly"], "--schedule goes with --rollback"),
        (["--rollback"], "--rollback takes one FLOW"),
        (["--rollback", "finetune", "train"], "--rollback takes one FLOW"),
        (["--rollback", "finetune", "--commit", "HEAD"], "--rollback is told the commit by --to REV"),
        (["--rollback", "finetune", "--no-record"], "--rollback takes no --record"),
        (["--rollback", "finetune", "--again"], "--rollback takes no --again"),
    ],
)
def test_what_does_not_go_together(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.run(["deploy", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_data_root_that_pods_cannot_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import subprocess

    for argv in (["init", "-q"], ["-c", "user.name=A", "-c", "user.email=a@x", "commit", "-q", "--allow-empty", "-m", "First"]):
        subprocess.run(["git", *argv], cwd=tmp_path, check=True)
    flow = '[flow.finetune]\ncommand = ["a"]\nevals = { click = ["b"] }\n'
    (tmp_path / "builder.toml").write_text(f'{flow}[image]\nbase = "scratch"\n')
    monkeypatch.chdir(tmp_path)
    assert frame.run(["deploy", "--to", "manifests"]) == 2
    assert "pods cannot reach" in capsys.readouterr().err
    assert not (tmp_path / "manifests").exists()
    assert frame.run(["deploy", "--to", "manifests", "--dry-run"]) == 1
    assert "has no image yet, so nobody knows its templates" in capsys.readouterr().err
    assert frame.run(["deploy", "--to", "HEAD"]) == 2
    assert "git knows a commit of that name" in capsys.readouterr().err
    assert not (tmp_path / "HEAD").exists()


def labelled(kind: str, name: str = "x", **labels: str) -> dict[str, object]:
    return {"kind": kind, "metadata": {"name": name, "labels": {key.replace("_", "/"): value for key, value in labels.items()}}}


@pytest.mark.parametrize(
    ("manifest", "all_flows", "tiny"),
    [
        (labelled("WorkflowTemplate", builder_flow="tiny"), True, True),
        (labelled("WorkflowTemplate", builder_flow="train"), True, False),
        (labelled("WorkflowTemplate", builder_part="starter"), True, False),
        (labelled("WorkflowTemplate"), False, False),
        (labelled("CronWorkflow", builder_flow="tiny"), True, True),
        (labelled("ConfigMap", "builder-queues"), True, False),
        (labelled("ConfigMap", "theirs", builder_flow="tiny"), False, False),
        (labelled("Secret", builder_flow="tiny"), False, False),
    ],
)
def test_whose_files_go(manifest: dict[str, object], all_flows: bool, tiny: bool) -> None:
    assert (owned_by(set())(manifest), owned_by({"tiny"})(manifest)) == (all_flows, tiny)
