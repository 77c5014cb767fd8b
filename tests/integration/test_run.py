"""`builder run` end to end: real git, real Metaflow, real commands, in a repository that would break a tool which imported from it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from builder.cli.frame import run as builder
from builder.cli.making import making
from builder.cli.run import _commit_before
from builder.cli.starting import Asked, Target, prepare
from builder.data.directory import DirectoryObjects
from builder.data.ledger import Ledger
from builder.runs.prepare import Overrides

HOSTILE = ("metaflow", "click", "builder", "workflows", "omegaconf", "urllib3", "msgspec", "isal", "rich", "boto3", "requests")
SETTINGS = """
[image]
base = "scratch"
pythonpath = [".", "src"]
exclude = ["/notes"]
[image.env]
SEED = "7"

[flow.finetune]
config = "config.yaml"
command = ["python", "train.py", "{config}"]
[flow.finetune.evals]
click = ["python", "score.py", "{action}", "{checkpoint}"]
"""
TRAIN = """
import json, os, pathlib, sys
import yaml, helper  # the team's own: one beside this file, one in src/
config = pathlib.Path(sys.argv[1]).read_text()
seen = {"yaml": yaml.WHOSE, "helper": helper.WHOSE, "path": sys.path, "cwd": os.getcwd(), "environ": dict(os.environ), "config": config}
seen["files"] = sorted(str(path) for path in pathlib.Path(".").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
pathlib.Path(os.environ["BUILDER_OUTPUT"], "seen.json").write_text(json.dumps(seen))
pathlib.Path(os.environ["BUILDER_CHECKPOINT"], "weights").write_text("0.25")
with open(os.environ["BUILDER_METRICS"], "a") as lines:
    for step, loss in enumerate((2.0, 0.5)):
        lines.write(json.dumps({"step": step, "name": "loss", "value": loss}) + "\\n")
"""
SCORE = """
import json, os, pathlib, sys
assert sys.argv[1] == "click" == os.environ["BUILDER_ACTION"]
score = float(pathlib.Path(sys.argv[2], "weights").read_text())
pathlib.Path(os.environ["BUILDER_METRICS"]).write_text(json.dumps({"step": 1, "name": "score", "value": score}))
"""


def git(repository: Path, *words: str) -> str:
    environ = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": str(repository)}
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    return subprocess.run(
        ["git", *identity, *words], cwd=repository, env=environ, check=True, capture_output=True, text=True
    ).stdout.strip()


def alive(pid: int) -> bool:
    """One that ended, and that nobody has waited for yet, is dead (proc(5))."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One commit, whose packages raise when they are imported. The working directory is in it."""
    root = tmp_path / "team"
    files = {"builder.toml": SETTINGS, "config.yaml": "lr: 0.1\n", "train.py": TRAIN, "score.py": SCORE, "notes/todo": "nothing\n"}
    files |= {"yaml.py": "WHOSE = 'team'\n", "src/helper.py": "WHOSE = 'team'\n"}
    files |= {f"{name}/__init__.py": f"raise ImportError('{name} of the team was imported')\n" for name in HOSTILE}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "First")
    for name in [name for name in os.environ if name.startswith(("METAFLOW_", "BUILDER_STORE", "BUILDER_DATA", "BUILDER_RUN"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(root)
    return root


def run_json(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert builder(["run", *words, "-o", "json"]) == 0, capsys.readouterr().err
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_commit_runs_whatever_its_packages_are_called(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(repository))
    monkeypatch.setenv("METAFLOW_DEFAULT_DATASTORE", "s3")
    head = git(repository, "rev-parse", "HEAD")
    (repository / "train.py").write_text("raise SystemExit('the working tree ran')\n")
    result = run_json(capsys, "finetune@HEAD", "lr=0.5")

    assert (result["schema"], result["state"], result["flow"], result["commit"]) == (1, "succeeded", "finetune", head)
    assert (result["loss"], result["scores"]) == (0.5, {"click": 0.25})
    assert "@sha256:" in result["reference"]
    directory = Path(result["links"]["directory"])
    seen = json.loads((directory / "finetune/output/seen.json").read_text())
    code = str(directory / "code")
    assert (seen["yaml"], seen["helper"], seen["cwd"]) == ("team", "team", code)
    assert seen["environ"]["PYTHONPATH"] == f"{code}:{code}/src"
    assert seen["environ"]["SEED"] == "7"
    ours = {name for name in seen["environ"] if name.startswith(("METAFLOW_", "BUILDER_"))}
    assert ours == {f"BUILDER_{name}" for name in ("METRICS", "CHECKPOINT", "CONFIG", "OUTPUT", "COMMIT", "RUN", "OUTBOX")}
    assert seen["config"] == "lr: 0.5\n"
    assert seen["files"] == sorted(set(git(repository, "ls-files").splitlines()) - {"notes/todo"})

    records = Ledger(DirectoryObjects(repository / ".builder/data")).read(result["run"])
    assert sorted(records) == ["end", "evaluate-click", "finetune", "freeze", "run", "start"]
    assert {record["state"] for record in records.values()} == {"succeeded"}
    assert (records["run"]["commit"], records["run"]["subject"], records["run"]["scores"]) == (head, "First", {"click": 0.25})
    assert ".builder" not in git(repository, "status", "--porcelain")


def test_the_working_tree_as_it_is_and_a_command_that_fails(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repository / "train.py").write_text("for line in range(30):\n    print('line', line)\nraise SystemExit(3)\n")
    (repository / "new.txt").write_text("new\n")
    assert builder(["finetune"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    first, *rest = said.err.splitlines()
    assert first.startswith("finetune@wip-")
    assert "main + 1 changed, 1 new file" in first
    error = next(line for line in rest if line.startswith("error: "))
    assert "step finetune failed: `python train.py " in error
    assert "ended with exit code 3" in error
    assert "  line 29" in rest
    assert "  line 10" in rest
    assert "  line 9" not in rest
    log = Path(next(line for line in rest if line.startswith("hint: the whole log: ")).removeprefix("hint: the whole log: "))
    assert len(log.read_text().splitlines()) == 30
    run = log.parent.parent
    assert (run / "code/new.txt").exists()
    assert Ledger(DirectoryObjects(repository / ".builder/data")).read(run.name)["run"]["state"] == "failed"


def test_a_run_that_is_ended_leaves_no_process(repository: Path) -> None:
    (repository / "train.py").write_text(
        "import os, time\nopen(os.environ['BUILDER_METRICS'] + '.pid', 'w').write(str(os.getpid()))\ntime.sleep(100)\n"
    )
    environ = {**os.environ, "PYTHONSAFEPATH": "1"}  # python -m would import the repository's own builder
    child = subprocess.Popen(
        [sys.executable, "-m", "builder", "run", "finetune"], cwd=repository, env=environ, stderr=subprocess.PIPE, text=True
    )
    marks = list[Path]()
    deadline = time.monotonic() + 30
    while not (marks and marks[0].read_text()) and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.05)
        marks = list((repository / ".builder").glob("runs/*/finetune/metrics.jsonl.pid"))
    child.send_signal(signal.SIGTERM)
    _, stderr = child.communicate(timeout=60)
    assert child.returncode == 130, stderr
    assert "interrupted" in stderr
    deadline = time.monotonic() + 5  # a process that was killed takes its time to die on a busy machine
    while alive(int(marks[0].read_text())) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(int(marks[0].read_text()))
    run = marks[0].parent.parent.name
    assert Ledger(DirectoryObjects(repository / ".builder/data")).read(run)["run"]["state"] == "stopped"


def test_what_cannot_run_is_refused_before_anything_is_written(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = {
        "finetune@nowhere": "no commit is named 'nowhere'",
        "other@HEAD": "there is no [flow.other] in the settings",
        "finetune@HEAD lrr=1": "lrr: config.yaml has no such key",
        "finetune@HEAD evals=drag": "evals=drag: [flow.finetune.evals] has no such action type",
        "finetune@HEAD --config other.yaml": "the commit has no configuration file other.yaml",
    }
    for words, expected in wrong.items():
        assert builder(["run", *words.split()]) == 2
        assert expected in capsys.readouterr().err
    assert not (repository / ".builder").exists()


def test_a_dry_run_shows_where_each_value_comes_from_and_writes_nothing(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = git(repository, "rev-parse", "HEAD")
    (repository / "builder.toml").write_text('[image]\nbase = "scratch"\n')
    assert builder(["run", "finetune@HEAD", "lr=0.3", "--dry-run"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["config.lr", "0.3", "command", "line"] in lines
    assert ["command", "python", "train.py", "{config}", "builder.toml", "of", "commit", head[:12]] in lines
    assert not (repository / ".builder").exists()


def test_the_commit_before_is_named_only_where_the_flow_could_run(repository: Path) -> None:
    def before() -> str:
        with making(repository) as maker:
            found = _commit_before(maker, prepare(maker, Asked(Target("finetune", "HEAD"), Overrides())).wanted)
        return found.subject if found else ""

    assert before() == "", "the first commit has none before it"
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "Second")
    assert before() == "First"
    git(repository, "rm", "--quiet", "config.yaml")
    git(repository, "commit", "--quiet", "--message", "Without a configuration")
    git(repository, "revert", "--no-edit", "HEAD")
    assert before() == ""


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("", "[data] root is .builder/data: pods cannot reach a directory of this machine"),
        ('[data]\nroot = "s3://bucket/x"\n', "is on this machine, and pods cannot pull from it"),
    ],
)
def test_what_pods_could_not_reach_is_refused_at_once(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, settings: str, message: str
) -> None:
    config = {"apiVersion": "v1", "kind": "Config", "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}]}
    config |= {"users": [{"name": "u", "user": {}}], "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}]}
    (repository / ".git/kubeconfig").write_text(json.dumps({**config, "current-context": "x"}))
    monkeypatch.setenv("KUBECONFIG", str(repository / ".git/kubeconfig"))
    (repository / "builder.toml").write_text(SETTINGS + settings)
    assert builder(["finetune@HEAD", "--on", "argo"]) == 2
    assert message in capsys.readouterr().err
    assert not list((repository / ".builder").glob("images/blobs/*/*"))


def test_no_cluster_is_a_clear_error(repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(repository / "none"))
    (repository / "builder.toml").write_text(SETTINGS + '[data]\nroot = "s3://bucket/x"\n[store]\nto = "127.0.0.1:1/x"\n')
    assert builder(["finetune@HEAD", "--on", "argo"]) == 1
    said = capsys.readouterr().err
    assert "error: no cluster: " in said
    assert "hint: set KUBECONFIG, or [deploy] context in the settings" in said
