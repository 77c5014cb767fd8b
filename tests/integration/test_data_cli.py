"""`builder data` and `builder show OLDSHA` in a clone of a repository that `repo_slim` itself made small."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from builder.cli.documents import DOCUMENTS
from builder.cli.frame import run as builder
from repo_slim.slim import Asked, run
from tests.fixtures.repositories import Repository, at_nobodys_home, clone  # noqa: F401
from tests.fixtures.slimmed_team import LATIN, LFS, LOST, POINTER, TOOL, WEIGHTS, Slimmed, a_slimmed_repository, history, slimmed  # noqa: F401


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    assert builder(list(words)) == code, capsys.readouterr().err
    printed = capsys.readouterr()
    return printed.out, printed.err


def document(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said(capsys, *words, "-o", "json")[0])
    return found


def blob_of(slim: Slimmed, content: bytes) -> Path:
    digest = hashlib.sha256(content).hexdigest()
    return slim.archive / "archive/blobs" / digest[:2] / digest


def spoil(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


def test_show_an_old_name(slim: Slimmed, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = said(capsys, "show", slim.was[:9])
    lines = out.splitlines()
    assert lines[0].startswith(f"commit {slim.now}")
    assert lines[1] == f"was {slim.was} before the history was slimmed"
    assert lines[2] == "lost 6 files, 15.0 kB"
    assert "  data/weights.bin 3.0 kB" in lines and "  data/\\xe9\\nt\\xe9.bin 3.0 kB" in lines and "  media/clip.mp4 3.0 kB" in lines
    assert f"{slim.was[:7]} is now {slim.now[:7]}" in err
    assert f"to get back what it lost: builder data pull --commit {slim.now[:12]}" in err
    found = document(capsys, "show", slim.was)
    assert set(found) == {"schema", *DOCUMENTS["builder show REV"].keys}
    assert (found["commit"], found["was"], len(found["lost"])) == (slim.now, slim.was, 6)


def test_show_a_commit_that_lost_nothing(slim: Slimmed, capsys: pytest.CaptureFixture[str]) -> None:
    assert slim.old[0] == slim.new[0]
    assert "lost" not in said(capsys, "show", slim.old[0])[0]
    out, _ = said(capsys, "show", slim.old[2])
    assert f"was {slim.old[2]} before" in out and "lost nothing" in out


def test_show_what_nobody_knows(slim: Slimmed, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = slim.was[:11] + ("0" if slim.was[11] != "0" else "1")
    _, err = said(capsys, "show", wrong, code=2)
    assert f"did you mean {slim.was[:12]}?" in err


@pytest.mark.parametrize(
    "words",
    [
        ("status", "--commit"),
        ("compare", "HEAD"),
        ("image", "--dry-run", "--commit"),
        ("data", "ls", "--commit"),
        ("verify",),
        ("deps", "--commit"),
    ],
    ids=lambda words: words[0],
)
def test_every_revision_argument(slim: Slimmed, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    """Whatever becomes of it afterwards: it knows the commit."""
    capsys.readouterr()
    builder([*words, slim.was[:8]])
    printed = capsys.readouterr()
    assert f"{slim.was[:7]} is now {slim.now[:7]}" in printed.err
    assert "no commit is named" not in printed.err


def test_list(slim: Slimmed, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "data", "ls", "--commit", slim.was[:7])
    assert set(found) == {"schema", *DOCUMENTS["builder data ls"].keys}
    assert all(set(file) == set(DOCUMENTS["builder data ls"].parts["files"]) for file in found["files"])
    assert r'"data/\351\nt\351.bin"' in [file["path"] for file in found["files"]]
    files = {LATIN if file["path"].startswith('"') else file["path"].encode(): file for file in found["files"]}
    assert files.keys() == {*LOST, b"link.bin", b"media/clip.mp4"}
    for path, content in LOST.items():
        assert (files[path]["sha256"], files[path]["size"]) == (hashlib.sha256(content).hexdigest(), len(content))
    assert {path: files[path]["mode"] for path in (b"bin/tool", b"link.bin", b"data/weights.bin")} == {
        b"bin/tool": "100755",
        b"link.bin": "120000",
        b"data/weights.bin": "100644",
    }
    assert [path for path, file in files.items() if file["kind"] == "lfs"] == [b"media/clip.mp4"]
    out, err = said(capsys, "data", "ls", "data", "--commit", slim.now)
    assert [line.split()[0] for line in out.splitlines()] == ["PATH", "data/weights.bin", "data/\\xe9\\nt\\xe9.bin"]
    assert f"2 files, 6.0 kB; to get them: builder data pull data --commit {slim.now}" in err
    _, err = said(capsys, "data", "ls", os.fsdecode(LATIN), "--commit", slim.now)
    assert rf"to get them: builder data pull $'data/\351\nt\351.bin' --commit {slim.now}" in err


def test_an_old_name_that_git_knows_again_means_the_new_commit(slim: Slimmed, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """After a fetch of an old branch, once the clone has the map."""
    said(capsys, "show", slim.was)
    slim.clone.git("fetch", "--quiet", str(tmp_path / "source"), slim.was)
    assert document(capsys, "show", slim.was[:6])["commit"] == slim.now
    found = document(capsys, "data", "ls", "--commit", slim.was)
    assert (found["commit"], len(found["files"])) == (slim.now, 6)
    slim.clone.git("branch", "stale", slim.was)
    _, err = said(capsys, "data", "ls", "--commit", "stale")
    assert f"{slim.was[:12]} is from before slim-repo, and has all its files; it is {slim.now[:12]} now" in err


def test_nothing_was_lost(slim: Slimmed, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = said(capsys, "data", "ls")
    assert out == "" and "slim-repo took nothing out of it" in err
    assert "nothing to do" in said(capsys, "data", "pull")[1]


def test_pull_into_the_tree(slim: Slimmed, capsys: pytest.CaptureFixture[str]) -> None:
    top = slim.clone.directory
    slim.clone.git("checkout", "--quiet", slim.now)
    (top / "media/clip.mp4").write_bytes(POINTER)
    out, err = said(capsys, "data", "pull", "--commit", slim.was)
    assert len(out.splitlines()) == 6 and f"6 files written to {top}, verified" in err
    for path, content in LOST.items():
        assert Path(os.fsdecode(os.fsencode(top) + b"/" + path)).read_bytes() == content
    assert (top / "media/clip.mp4").read_bytes() == LFS
    assert (top / "link.bin").is_symlink() and (top / "link.bin").read_bytes() == WEIGHTS
    assert stat.S_IMODE((top / "bin/tool").stat().st_mode) & 0o111 and not (top / "data/weights.bin").stat().st_mode & 0o111
    status = slim.clone.text("status", "--porcelain", "-z").split("\0")
    assert not [line for line in status if ".builder" in line or "pulling" in line]
    assert not (top / ".builder/pulling").exists()


def test_pull_again_does_nothing(slim: Slimmed, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "data", "pull", "--commit", slim.was)
    before = {path: path.stat().st_mtime_ns for path in slim.clone.directory.rglob("*.bin")}
    found = document(capsys, "data", "pull", "--commit", slim.was)
    assert [file["written"] for file in found["files"]] == [False] * 6
    assert before == {path: path.stat().st_mtime_ns for path in slim.clone.directory.rglob("*.bin")}
    (slim.clone.directory / "bin/tool").unlink()
    out, err = said(capsys, "data", "pull", "--commit", slim.was)
    assert out == "bin/tool\n" and "5 were there already" in err


def test_pull_paths_elsewhere(slim: Slimmed, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said(capsys, "data", "pull", "*.bin", "bin/", "--commit", slim.was, "--to", str(tmp_path / "to"))
    found = {os.fsencode(path.relative_to(tmp_path / "to")) for path in (tmp_path / "to").rglob("*") if not path.is_dir()}
    assert found == {*LOST, b"link.bin"}
    _, err = said(capsys, "data", "pull", "data/weight.bin", "--commit", slim.was, code=2)
    assert "took no such file" in err and "did you mean data/weights.bin or" in err
    _, err = said(capsys, "data", "pull", "no\nsuch \udcff", "--commit", slim.was, code=2)
    assert r"error: no\nsuch \xff is no path or pattern" in err
    assert "is no path or pattern" in said(capsys, "data", "ls", "a//b", "--commit", slim.was, code=2)[1]


def test_another_content_stays(slim: Slimmed, capsys: pytest.CaptureFixture[str]) -> None:
    mine = slim.clone.directory / "data/weights.bin"
    mine.parent.mkdir()
    mine.write_text("mine")
    _, err = said(capsys, "data", "pull", "--commit", slim.was, code=1)
    assert "data/weights.bin in" in err and "nothing was written" in err and "--force" in err
    assert mine.read_text() == "mine" and not (slim.clone.directory / "bin").exists()
    said(capsys, "data", "pull", "--commit", slim.was, "--force")
    assert mine.read_bytes() == WEIGHTS


def test_what_is_in_the_way(slim: Slimmed, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    top, elsewhere = slim.clone.directory, tmp_path / "elsewhere"
    (top / "data").write_text("a file where a directory must be")
    assert "data is a file, and data/" in said(capsys, "data", "pull", "--commit", slim.was, "--force", code=1)[1]
    (top / "data").unlink()
    elsewhere.mkdir()
    (top / "data").symlink_to(elsewhere)
    assert "data is a symbolic link" in said(capsys, "data", "pull", "--commit", slim.was, "--force", code=1)[1]
    assert not list(elsewhere.iterdir())
    (top / "data").unlink()
    (top / "bin/tool").mkdir(parents=True)
    assert "tool is a directory" in said(capsys, "data", "pull", "--commit", slim.was, "--force", code=1)[1]
    assert not (top / "data").exists()


def test_a_damaged_object(slim: Slimmed, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(blob_of(slim, TOOL), TOOL[:-1] + b"x")
    _, err = said(capsys, "data", "pull", "--commit", slim.was, code=1)
    assert "bin/tool cannot be restored" in err and hashlib.sha256(TOOL).hexdigest() in err
    assert not (slim.clone.directory / "bin/tool").exists()
    assert not list(slim.clone.directory.rglob(".tool*")) and not (slim.clone.directory / ".builder/pulling").exists()
    spoil(blob_of(slim, TOOL), TOOL)
    said(capsys, "data", "pull", "--commit", slim.was)


def test_a_missing_object(slim: Slimmed, capsys: pytest.CaptureFixture[str]) -> None:
    blob_of(slim, TOOL).unlink()
    _, err = said(capsys, "data", "pull", "bin/tool", "--commit", slim.was, code=1)
    assert "bin/tool cannot be restored: there is no " in err and "[data] archive" in err


def test_the_record_of_the_archive_is_damaged(slim: Slimmed, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    record = slim.archive / "archive/runs" / slim.run
    for name, message in (("commits.jsonl", "does not hash"), ("manifest.json", "is no manifest of an archive")):
        before = (record / name).read_bytes()
        spoil(record / name, before.replace(b'"', b"'", 3))
        monkeypatch.setenv("XDG_CACHE_HOME", str(slim.clone.directory.parent / f"cache-{name}"))
        assert message in said(capsys, "data", "ls", "--commit", slim.was, code=1)[1]
        spoil(record / name, before)
    (record / "objects.jsonl").unlink()
    assert "is missing, and the manifest beside it has it" in said(capsys, "data", "ls", "--commit", slim.was, code=1)[1]


def test_without_the_archives_manifest_the_ref_tells(slim: Slimmed, capsys: pytest.CaptureFixture[str]) -> None:
    (slim.archive / "archive/runs" / slim.run / "manifest.json").unlink()
    assert len(document(capsys, "data", "ls", "--commit", slim.was)["files"]) == 6
    said(capsys, "data", "pull", "--commit", slim.was)


def test_an_archive_of_its_own(slim: Slimmed, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BUILDER_DATA_ROOT", str(tmp_path / "elsewhere"))
    settings = slim.clone.directory / "builder.toml"
    settings.write_text(settings.read_text() + f'\n[data]\narchive = "{os.path.relpath(slim.archive, settings.parent)}"\n')
    assert "6 files written" in said(capsys, "data", "pull", "--commit", slim.was)[1]


@pytest.mark.parametrize("lfs", ["keep-pointers", "drop"])
def test_placeholders_and_pointers_give_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, lfs: str
) -> None:
    slim = slimmed(tmp_path, replace="placeholder", lfs=lfs)
    monkeypatch.setenv("BUILDER_DATA_ROOT", str(slim.archive))
    monkeypatch.chdir(slim.clone.directory)
    slim.clone.git("-c", "filter.lfs.smudge=", "-c", "filter.lfs.required=false", "checkout", "--quiet", slim.now)
    assert (slim.clone.directory / "data/weights.bin").read_bytes().startswith(b"removed from the history")
    assert "6 files written" in said(capsys, "data", "pull", "--commit", slim.was)[1]
    assert (slim.clone.directory / "media/clip.mp4").read_bytes() == LFS
    assert (slim.clone.directory / os.fsdecode(LATIN)).read_bytes() == WEIGHTS


def test_after_a_second_slimming(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest names lead to the newest commits, and what each slimming took comes back: of a placeholder the file itself."""
    middle = b"m" * 1500
    changes = history()
    changes[1] = {**changes[1], "data/middle.bin": middle}
    changes[2] = {**changes[2], "data/middle.bin": None}
    first = slimmed(tmp_path / "first", *changes, archive=tmp_path / "archive", replace="placeholder")
    work, again = tmp_path / "work", tmp_path / "again.git"
    rules = {"drop": ("data/**",)}
    approve = run(Asked(str(first.published.directory), work, str(tmp_path / "archive"), rules=rules))["approve"]
    Repository.make(again, "--bare")
    run(Asked(str(first.published.directory), work, str(tmp_path / "archive"), approve=approve, publish_to=str(again)))
    copy = clone(Repository(again), tmp_path / "copy")
    monkeypatch.setenv("BUILDER_DATA_ROOT", str(tmp_path / "archive"))
    monkeypatch.chdir(copy.directory)
    by_oldest, by_middle = (document(capsys, "data", "ls", "--commit", name) for name in (first.was, first.now))
    assert by_oldest == by_middle
    assert by_oldest["was"] == first.was and by_oldest["commit"] not in (first.was, first.now)
    found = {os.fsencode(file["path"]): file["sha256"] for file in by_oldest["files"]}
    assert found[b"data/middle.bin"] == hashlib.sha256(middle).hexdigest()
    assert found[b"data/weights.bin"] == hashlib.sha256(WEIGHTS).hexdigest()
    assert len(found) == 7
    assert "7 files written" in said(capsys, "data", "pull", "--commit", first.was, "--to", str(tmp_path / "to"))[1]


def test_killed_anywhere_and_called_again(slim: Slimmed, tmp_path: Path) -> None:
    content = random.Random(7).randbytes(3_000_000)
    changes = [{"a": b"1"}, {f"many/{number}.bin": content[number:] for number in range(20)}, {"many": None}]
    big = slimmed(tmp_path / "big", *changes, archive=slim.archive)
    argv = [sys.executable, "-m", "builder", "data", "pull", "--commit", big.was]
    environ = {**os.environ, "PYTHONSAFEPATH": "1"}
    wanted = {big.clone.directory / f"many/{number}.bin": content[number:] for number in range(20)}
    killed = 0
    for _ in range(40):
        child = subprocess.Popen(argv, cwd=big.clone.directory, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = sum(path.exists() for path in wanted)
        while child.poll() is None and sum(path.exists() for path in wanted) <= before:
            time.sleep(0.002)
        child.kill()
        killed += child.wait() == -signal.SIGKILL
        for path, expected in wanted.items():
            assert not path.exists() or path.read_bytes() == expected, "never half of one"
        if all(path.exists() for path in wanted):
            break
    assert killed and all(path.exists() for path in wanted)
    assert big.clone.text("status", "--porcelain", "--untracked-files=normal") == "?? many/"
