"""A run at a commit that lost files gets them back before its commands start, and says so; its image stays as it is."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from builder.cli.making import making
from tests.fixtures.repositories import at_nobodys_home  # noqa: F401
from tests.fixtures.slimmed_team import (
    LATIN,
    LFS,
    SETTINGS,
    TOOL,
    WEIGHTS,
    Slimmed,
    a_slimmed_repository,  # noqa: F401
    history,
    slimmed,
)
from tests.integration.test_data_cli import blob_of, said, spoil

pytestmark = pytest.mark.minutes  # many runs through Metaflow, seconds each


def setting(slim: Slimmed, text: str) -> None:
    """In force from now on."""
    path = slim.clone.directory / "builder.toml"
    path.write_text(path.read_text() + text)


def ran(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[dict[str, Any], str]:
    out, err = said(capsys, "run", *words, "-o", "json")
    return json.loads(out), err


def seen_by(result: dict[str, Any], step: str = "finetune") -> dict[bytes, str]:
    """Path -> sha256 of what the step's command found."""
    found = json.loads((Path(result["links"]["directory"]) / step / "output" / "seen.json").read_text())
    return {os.fsencode(path): digest for path, digest in found.items()}


def test_an_old_commit_runs_as_it_did(slim: Slimmed, capsys: pytest.CaptureFixture[str]) -> None:
    result, err = ran(capsys, f"finetune@{slim.was[:8]}")
    assert f"{slim.was[:7]} is now {slim.now[:7]}" in err
    assert f"4 files, 9.0 kB, that slim-repo took out of {slim.now[:7]} ({slim.was[:7]} before): commands get them back" in err
    assert (result["state"], result["commit"]) == ("succeeded", slim.now)
    assert result["scores"] == {"click": WEIGHTS[0] / 256}
    assert {key: result["restored"][key] for key in ("was", "files", "size")} == {"was": slim.was, "files": 4, "size": 9016}
    seen = seen_by(result)
    assert seen[b"bin/tool"] == hashlib.sha256(TOOL).hexdigest()
    assert seen[LATIN] == seen[b"data/weights.bin"] == seen[b"link.bin"] == hashlib.sha256(WEIGHTS).hexdigest()
    assert not [path for path in seen if path.startswith(b"notes/") or b"restoring" in path], "[image] exclude leaves notes out"
    assert os.access(Path(result["links"]["directory"], "code/bin/tool"), os.X_OK)
    with making(None) as maker:
        image = maker.make(maker.git.resolve(slim.now))
        assert f"@{image.digest}" in result["reference"]
    assert said(capsys, "verify", slim.now)[0], "the image is exactly its commit"


def test_what_came_back_is_told(slim: Slimmed, capsys: pytest.CaptureFixture[str]) -> None:
    result, _ = ran(capsys, f"finetune@{slim.was}")
    out, _ = said(capsys, "show", result["run"])
    assert f"restored 4 files, 9.0 kB, that slim-repo took out of {slim.was[:12]}" in out.splitlines()
    shown = json.loads(said(capsys, "show", result["run"], "-o", "json")[0])
    report = json.loads((slim.archive / "runs" / result["run"] / "report.json").read_text())
    assert shown["restored"] == report["restored"] == result["restored"]
    ledger = slim.archive / "ledger" / result["run"]
    for step in ("finetune", "evaluate-click"):
        assert json.loads((ledger / f"{step}.json").read_text())["restored"] == result["restored"]
    listed = json.loads((slim.archive / f"restores/{result['restored']['list'][7:]}.json").read_text())
    assert {file["path"] for file in listed["files"]} == {"bin/tool", "link.bin", "data/weights.bin", os.fsdecode(LATIN)}
    request = json.loads((slim.archive / "runs" / result["run"] / "request.json").read_text())
    assert request["restore"] == result["restored"]["list"] and "weights.bin" not in json.dumps(request)


def test_a_command_may_change_what_it_got(slim: Slimmed, capsys: pytest.CaptureFixture[str]) -> None:
    """The training writes into its weights: the evaluation in the same tree finds what it left, and the archive stays."""
    result, _ = ran(capsys, f"finetune@{slim.was}")
    assert seen_by(result, "evaluate-click")[b"data/weights.bin"] != hashlib.sha256(WEIGHTS).hexdigest()
    assert blob_of(slim, WEIGHTS).read_bytes() == WEIGHTS


def test_the_same_is_not_run_twice_and_another_is(slim: Slimmed, capsys: pytest.CaptureFixture[str]) -> None:
    first, _ = ran(capsys, f"finetune@{slim.was}")
    again, err = ran(capsys, f"finetune@{slim.now}")
    assert again["run"] == first["run"] and "did the very same already" in err
    setting(slim, '\n[data]\nrestore_paths = ["data/**"]\n')
    other, _ = ran(capsys, f"finetune@{slim.now}")
    assert other["run"] != first["run"] and other["identity"] != first["identity"]
    assert other["restored"]["files"] == 2 and b"bin/tool" not in seen_by(other)


def test_never(slim: Slimmed, capsys: pytest.CaptureFixture[str]) -> None:
    setting(slim, '\n[data]\nrestore = "never"\n')
    _, err = said(capsys, "run", f"finetune@{slim.was}", code=1)
    assert "they stay there, as [data] restore says" in err
    assert "data/weights.bin" in err, "the command does not find it"


def test_ask(slim: Slimmed, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    setting(slim, '\n[data]\nrestore = "ask"\n')
    _, err = said(capsys, "run", f"finetune@{slim.was}", code=2)
    assert "Nobody is here to answer" in err and 'set [data] restore = "auto" or "never"' in err
    asked: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("click.confirm", lambda text, **_: bool(asked.append(text)))
    assert "data/weights.bin" in said(capsys, "run", f"finetune@{slim.was}", code=1)[1]
    monkeypatch.setattr("click.confirm", lambda *_, **__: True)
    assert ran(capsys, f"finetune@{slim.was}")[0]["restored"]["files"] == 4
    assert len(asked) == 1 and "4 files, 9.0 kB" in asked[0]
    assert "took out" not in said(capsys, "run", "finetune@HEAD", "--dry-run")[1]


def test_a_dry_run_writes_nothing(slim: Slimmed, capsys: pytest.CaptureFixture[str]) -> None:
    _, err = said(capsys, "run", f"finetune@{slim.was}", "--dry-run")
    assert "commands get them back" in err
    assert not (slim.archive / "restores").exists()


def test_a_damaged_archive_fails_the_step(slim: Slimmed, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(blob_of(slim, TOOL), b"another tool")
    _, err = said(capsys, "run", f"finetune@{slim.was}", code=1)
    assert "bin/tool cannot be restored" in err and "is damaged" in err
    spoil(blob_of(slim, TOOL), TOOL)
    (run,) = [path.name for path in (slim.archive / "ledger").iterdir()]
    result = json.loads(said(capsys, "retry", run, "-o", "json")[0])
    assert (result["state"], result["restored"]["files"]) == ("succeeded", 4)


def test_a_commit_that_lost_nothing_is_told_nothing(slim: Slimmed, capsys: pytest.CaptureFixture[str]) -> None:
    (slim.clone.directory / "data").mkdir()
    (slim.clone.directory / "data/weights.bin").write_bytes(WEIGHTS)
    slim.clone.git("add", "data")
    slim.clone.git("commit", "--quiet", "-m", "Weights again")
    result, err = ran(capsys, "finetune@HEAD")
    assert result["restored"] == {} and "slim-repo" not in err
    assert not (slim.archive / "restores").exists()


def test_a_teams_own_flow(slim: Slimmed, capsys: pytest.CaptureFixture[str]) -> None:
    result, _ = ran(capsys, f"own@{slim.was}")
    assert (result["state"], result["scores"]) == ("succeeded", {"first": WEIGHTS[0] / 256, "executable": 1.0})
    assert result["restored"]["files"] == 4
    spoil(blob_of(slim, TOOL), b"another tool")
    _, err = said(capsys, "run", f"own@{slim.was}", "--again", code=1)
    assert "bin/tool cannot be restored" in err


def test_content_of_pointers_comes_from_the_archive_where_no_server_has_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    slim = slimmed(tmp_path, *history(SETTINGS.replace('base = "scratch"', 'base = "scratch"\nlfs = "fetch"')))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("BUILDER_DATA_ROOT", str(slim.archive))
    monkeypatch.chdir(slim.clone.directory)
    result, _ = ran(capsys, f"finetune@{slim.was}")
    assert seen_by(result)[b"media/clip.mp4"] == hashlib.sha256(LFS).hexdigest()
    assert result["restored"]["files"] == 4, "it is in the image"
    assert said(capsys, "verify", slim.was)[0]
    spoil(blob_of(slim, LFS), b"x")
    (slim.clone.directory / ".git/lfs").rename(tmp_path / "lfs")
    _, err = said(capsys, "run", f"finetune@{slim.was}", "--again", code=1)
    assert "does not hash to" in err


def test_a_run_from_before_goes_on(slim: Slimmed, capsys: pytest.CaptureFixture[str]) -> None:
    """Its request knows the old name, and nothing of what is to be restored."""
    spoil(blob_of(slim, TOOL), b"another tool")
    said(capsys, "run", f"finetune@{slim.was}", code=1)
    spoil(blob_of(slim, TOOL), TOOL)
    (run,) = [path.name for path in (slim.archive / "ledger").iterdir()]
    kept = slim.archive / "runs" / run / "request.json"
    spoil(kept, json.dumps({**json.loads(kept.read_text()), "commit": slim.was, "restore": ""}).encode())
    for record in (slim.archive / "ledger" / run).iterdir():
        spoil(record, record.read_bytes().replace(slim.now.encode(), slim.was.encode()))
    result = json.loads(said(capsys, "retry", run, "-o", "json")[0])
    assert (result["state"], result["restored"]["files"], result["commit"]) == ("succeeded", 4, slim.was)
    listed = said(capsys, "status", "--commit", slim.was[:8])[0]
    assert run in listed and result["run"] in listed
    assert run in said(capsys, "show", slim.now)[0]
    later, _ = ran(capsys, f"finetune@{slim.now}", "lr=0.2")
    compared = json.loads(said(capsys, "compare", result["run"], later["run"], "-o", "json")[0])
    assert compared["sides"][1]["missing"] == [] and compared["sides"][1]["changes"]["ahead"] == 0


def test_a_changed_tree_of_a_commit_that_lost_something(slim: Slimmed, capsys: pytest.CaptureFixture[str]) -> None:
    """What the tree has by itself is its own."""
    slim.clone.git("-c", "filter.lfs.smudge=", "-c", "filter.lfs.required=false", "checkout", "--quiet", slim.now)
    (slim.clone.directory / "config.yaml").write_text("lr: 0.3\n")
    (slim.clone.directory / "bin").mkdir()
    (slim.clone.directory / "bin/tool").write_bytes(b"mine")
    result, err = ran(capsys, "finetune")
    assert f"3 files, 6.0 kB, that slim-repo took out of {slim.now[:7]}" in err
    assert (result["restored"]["files"], result["restored"]["was"]) == (3, slim.was)
    seen = seen_by(result)
    assert seen[b"bin/tool"] == hashlib.sha256(b"mine").hexdigest()
    assert seen[b"data/weights.bin"] == hashlib.sha256(WEIGHTS).hexdigest()
