"""`builder devbox` through the real command line, on a cluster in memory."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from builder.cli import box_naming, box_ssh, box_up, devbox
from builder.devbox import boxes
from builder.devbox.box import Wanted
from builder.errors import AuthError, BuilderError, ClusterError, SourceError, UsageError
from builder.settings import DevboxSettings
from tests.fixtures.memory_cluster import MemoryCluster

ADA = Wanted("ada", "ada", "registry.example.com/team/images@sha256:" + "0" * 64, "a" * 40, "Begin", "ssh-ed25519 AAAA ada")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryCluster:
    """With ada's box, which runs, in a directory with settings."""
    made = MemoryCluster()
    made.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
    boxes.start(made, ADA, DevboxSettings(idle="90m"))
    made.patch("pods", "devbox-ada", {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}})
    for module in (devbox, box_ssh, box_up):
        monkeypatch.setattr(module, "cluster_of", lambda _: made)
    (tmp_path / "builder.toml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    as_person(monkeypatch, "ada")
    return made


def as_person(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("builder.cli.person.who", lambda: name)


def say(*words: str) -> Result:
    done = CliRunner().invoke(devbox.command, list(words))
    if isinstance(done.exception, BuilderError):
        raise done.exception
    return done


@pytest.mark.parametrize(
    ("given", "name", "sent"),
    [
        ([], "ada", []),
        (["--"], "ada", []),
        (["--", "ls", "-l"], "ada", ["--", "ls -l"]),
        (["--repo", ".", "--", "ls"], "ada", ["--", "ls"]),
        (["ada", "--", "ls"], "ada", ["--", "ls"]),
        (["ada", "ls"], "ada", ["--", "ls"]),
        (["ada", "git", "log", "--", "a b"], "ada", ["--", "git log -- 'a b'"]),
        (["ada", "--", "sh", "-c", "exit 7"], "ada", ["--", "sh -c 'exit 7'"]),
        (["ada", "--", "ls | wc -l"], "ada", ["--", "ls | wc -l"]),
    ],
)
def test_what_ssh_is_given(cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch, given: list[str], name: str, sent: list[str]) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(box_ssh, "introduce", lambda *_: None)
    monkeypatch.setattr("builder.process.start", lambda argv, **_: called.append(argv) or subprocess.Popen(["true"]))
    done = say("ssh", *given)
    assert done.exception is None, done.exception
    (argv,) = called
    assert argv[argv.index(f"devbox-{name}") + 1 :] == sent


def test_no_box_starts_where_the_settings_do_not_allow_it(cluster: MemoryCluster, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    before = list(cluster.asked)
    for more in ([], ["--dry-run"]):
        with pytest.raises(UsageError, match="allow = true is not set") as caught:
            say("up", *more)
        assert "builder deploy --bootstrap" in caught.value.hint
    assert cluster.asked == before


def test_somebody_elses_box_is_stopped_with_a_yes_alone(cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    as_person(monkeypatch, "eve")
    for more in ([], ["--home"]):
        with pytest.raises(UsageError, match="box ada is ada's: nothing was done") as caught:
            say("stop", "ada", *more)
        assert "--yes" in caught.value.hint
    assert boxes.find(cluster, "ada") and boxes.has_home(cluster, "ada")
    assert "removed" in say("stop", "ada", "--home", "--yes").output
    assert not boxes.find(cluster, "ada") and not boxes.has_home(cluster, "ada")


def test_ones_own_box_is_stopped_at_once_and_a_home_is_not(cluster: MemoryCluster) -> None:
    assert "its home stays" in say("stop").output
    with pytest.raises(UsageError, match="the home of box ada would be deleted") as caught:
        say("stop", "--home")
    assert "so does the box" not in caught.value.message


def test_a_namespace_that_is_not_there_is_no_empty_list(cluster: MemoryCluster) -> None:
    boxes.stop(cluster, "ada", home=True)
    assert "no box is there" in say("ls", "-o", "table").output
    cluster.delete("namespaces", "team")
    with pytest.raises(ClusterError, match="there is no namespace team"):
        say("ls", "-o", "table")
    cluster.fault = refuse_namespaces
    assert "no box is there" in say("ls", "-o", "table").output


def refuse_namespaces(verb: str, kind: str, name: str) -> None:
    """As an account that may not look at them is told."""
    if kind == "namespaces":
        raise AuthError(f"{kind} {name}: forbidden")


def test_a_directory_that_is_nowhere(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere"):
        box_naming.settings_of(tmp_path / "nowhere")


def test_other_gpus_than_run_need_a_stop(cluster: MemoryCluster) -> None:
    assert boxes.start(cluster, replace(ADA, gpus=0), DevboxSettings()) is False
    with pytest.raises(UsageError, match="runs with 0 GPUs") as caught:
        boxes.start(cluster, replace(ADA, gpus=1), DevboxSettings())
    assert "builder devbox stop ada" in caught.value.hint


def test_it_stops_after_what_the_pod_was_given(cluster: MemoryCluster) -> None:
    box = boxes.find(cluster, "ada")
    assert box and box.idle == 5400


def test_the_proxy_executes_nothing_of_where_ssh_is_started(tmp_path: Path) -> None:
    from builder.devbox.client import proxy_command

    (tmp_path / "builder").mkdir()
    for name in ("builder/__init__.py", "builder/__main__.py", "json.py", "click.py"):
        (tmp_path / name).write_text("raise SystemExit('executed')\n")
    argv = [*proxy_command("ada", "team", "", {})[:3], "devbox", "proxy", "--help"]
    assert argv[0] == sys.executable
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, "What ssh starts" in done.stdout) == (0, True), done.stderr


def test_each_kubeconfig_has_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from builder.devbox.client import proxy_command

    monkeypatch.chdir(tmp_path)
    environ: dict[str, Any] = {"KUBECONFIG": "a:/b::c/d"}
    assert proxy_command("ada", "team", "", environ)[1] == f"KUBECONFIG={tmp_path}/a:/b:{tmp_path}/c/d"
