"""Settings as TOML say what the settings say."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from builder.settings import Settings, Tables, at_commit, load
from builder.settings.dump import to_toml

EVERYTHING = r"""
[image]
base = "registry.test/base@sha256:0000000000000000000000000000000000000000000000000000000000000000"
exclude = ["/notes", "*.bin"]
[image.env]
SEED = "7"
[image.deps]
lock = "requirements.txt"
provided = ["torch"]
[store]
push = "127.0.0.1:5000/team"
pull = "registry.test/team"
insecure = true
[flow.finetune]
config = "c.yaml"
command = ["python", "-c", "print(\"{config}\", 'é')"]
[flow.finetune.defaults]
lr = 1e-5
model = {layers = 3, names = ["a", "b"], "odd key" = true}
[flow.finetune.schema]
lr = "float"
[flow.finetune.evals]
click = ["true"]
[flow.finetune.evals.drag]
kind = "external"
timeout = "2h"
[flow.finetune.evals.plain]
kind = "external"
[flow.finetune.scores]
click = {log = "acc=([0-9.]+)\\b"}
[flow.finetune.errors.evaluate]
retry = 2
fallback = 0.0
on = ["failed", "exit:3"]
[flow.publish]
use = "finetune"
after = "finetune"
only_if = "ended"
[run]
on = "argo"
[data]
root = "s3://bucket/team"
[schedule.nightly]
flow = "finetune"
cron = "0 2 * * *"
set = ["lr=1"]
[launch.default]
timeout = "2h"
[launch.default.pod]
gpus = 1
tolerations = ["gpu"]
[launch.default.pod.node_selector]
"cloud.test/gpu" = "a100"
[queue.finetune]
at_once = 2
[notify]
slack = true
[links]
log = "https://logs.test/{run}"
[tracker]
mlflow = "https://mlflow.test"
[deploy]
git_secret = "git"
secrets = ["s3"]
[metaflow]
service = "https://metaflow.test"

[watch]
multiple = 2.5
channel = "#ops"
users = ["ada"]

[gc]
keep_days = 7
remotes = ["https://git.example.com/team/mirror"]

[housekeep]
green = 5
code = "3d"

[ci]
test = ["pytest", "-q"]
branch = "trunk"

[forge]
repository = "team/agent"

[devbox]
allow = true
[devbox.pod]
cpu = "1"
gpus = 1
"""


def again(settings: Settings, directory: Path) -> Settings:
    directory.mkdir(exist_ok=True)
    (directory / "builder.toml").write_text(to_toml(settings), encoding="utf-8")
    return load(directory, {})


@pytest.mark.parametrize("text", ["", EVERYTHING, '[store]\nto = "oci:images"\n', "[image.deps]\ndockerfile = 'D'\nargs = {A = '1'}\n"])
def test_what_is_written_says_the_same(tmp_path: Path, text: str) -> None:
    (tmp_path / "builder.toml").write_text(text, encoding="utf-8")
    settings = load(tmp_path, {})
    found = again(settings, tmp_path / "again")
    for table in fields(Tables):
        assert getattr(found, table.name) == getattr(settings, table.name)


def test_every_table_is_tried(tmp_path: Path) -> None:
    (tmp_path / "builder.toml").write_text(EVERYTHING, encoding="utf-8")
    settings = load(tmp_path, {})
    assert [table.name for table in fields(Tables) if getattr(settings, table.name) == getattr(Tables(), table.name)] == []


def test_what_is_as_by_default_is_left_out() -> None:
    assert to_toml(Settings()) == ""


def test_the_environment_stands_above_the_file(tmp_path: Path) -> None:
    (tmp_path / "builder.toml").write_text('[data]\nroot = "here"\n')
    assert again(load(tmp_path, {"BUILDER_DATA_ROOT": "s3://bucket/x"}), tmp_path / "again").data.root == "s3://bucket/x"


def test_what_is_in_force_is_known_where_a_commits_settings_hold(tmp_path: Path) -> None:
    (tmp_path / "builder.toml").write_text(EVERYTHING, encoding="utf-8")
    now = load(tmp_path, {})
    theirs = b'[image]\nworkdir = "/x"\n[flow.finetune]\ncommand = ["false"]\n[flow.finetune.evals]\nx = ["x"]\n'
    then, _ = at_commit(now, {"builder.toml": theirs}.get)
    assert then.image.workdir == "/x"
    assert then.in_force == now
    assert replace(then, launch={}).in_force == now
    assert at_commit(now, {}.get)[0].in_force == now
