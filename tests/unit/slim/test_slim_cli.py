"""The command: what it prints, asks for next, and ends with."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from builder.cli import frame, output, slim_modes
from builder.cli.documents import DOCUMENTS
from builder.errors import BuilderError
from repo_slim import errors
from tests.fixtures.reports import commit_at
from tests.fixtures.repositories import Repository
from tests.fixtures.slim_history import BIG, git, make
from tests.fixtures.slimming import commit_map, fingerprint


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A history in `team/agent.git`, and an empty working directory beside it."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    (tmp_path / "team").mkdir()
    make(tmp_path / "team" / "agent.git", 60)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "team" / "agent.git"


def printed(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    assert frame.run(["slim-repo", *map(str, words)]) == code
    captured = capsys.readouterr()
    return captured.out, captured.err


def document(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(printed(capsys, *words, "-o", "json")[0])
    return found


def test_from_a_large_repository_to_a_published_small_one(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Following nothing but what `next` says."""
    out, _ = printed(capsys, source, "--drop-over", BIG)
    assert out.startswith("no rewrite   git clone --filter=blob:limit=1m gives about ")
    words = next_words(out)
    assert words[:3] == ["builder", "slim-repo", str(source)] and "--approve" in words
    out, err = printed(capsys, *words[2:])
    assert "verified     6" in out and "undo         git clone --mirror " in out and "lose" not in out
    words = next_words(out)
    assert words[-2:] == ["--publish-to", "URL"]
    git(source.parent, "init", "--quiet", "--bare", "new.git")
    out, err = printed(capsys, *words[2:-1], source.parent / "new.git")
    assert "published " in out and "next" not in out and "refs/remotes/origin/main" in err
    again, _ = printed(capsys, *words[2:-1], source.parent / "new.git")
    assert f"published    to {source.parent / 'new.git'} already, cloned back and compared again; nothing to do\n" in again
    assert len(again.splitlines()) == 3 and "next" not in again
    again, _ = printed(capsys, *words[2:-2])
    assert f"published    to {source.parent / 'new.git'} already; nothing to do\n" in again and "next" not in again
    git(source.parent, "init", "--quiet", "--bare", "other.git")
    out, _ = printed(capsys, *words[2:-1], source.parent / "other.git")
    assert f"refs to {source.parent / 'other.git'}, cloned back" in out and "verified " in out, "another place is another matter"
    assert (source.parent / "agent.slim" / "plan.toml").exists() and (Path.cwd() / ".builder/data/archive/blobs").is_dir()
    assert len(commit_map(source.parent / "new.git")) > 60


def test_a_plan_that_takes_nothing_out_asks_for_no_approval(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = printed(capsys, source, "--drop-over", "1GB")
    assert "next" not in out
    assert "this plan takes nothing out" in err
    assert document(capsys, source)["next"] == ""


def test_a_report_that_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The numbers of the page, of the JSON beside it and of what is printed are the same; what looks dead is in no plan."""
    monkeypatch.chdir(tmp_path)
    repository = Repository.make(tmp_path / "agent")
    commit_at(repository, 0, {"agent/__init__.py": b"", "agent/lonely_loop.py": b"x = 1\n", "a.bin": b"x" * 2_000_000})
    commit_at(repository, 800, {"a.bin": None, "train.py": b"import agent\nprint(agent)\n"})
    out, _ = printed(capsys, "agent")
    assert "dead code    1 module, perhaps: the report says which, and why" in out
    told = json.loads((tmp_path / "agent.slim" / "report.json").read_text())
    page = (tmp_path / "agent.slim" / "report.html").read_text()
    assert f"report       {tmp_path / 'agent.slim' / 'report.html'}" in out
    assert [each["path"] for each in told["advice"]["dead"]] == ["agent/lonely_loop.py"]
    assert "--drop agent/lonely_loop.py" in page and "lonely_loop" not in (tmp_path / "agent.slim" / "plan.toml").read_text()
    size = output.size(told["clone"]["filter_blob_limit_1m"])
    assert out.startswith(f"no rewrite   git clone --filter=blob:limit=1m gives about {size} ") and f">{size}</strong>" in page
    assert document(capsys, "agent")["clone"] == told["clone"]


def next_words(out: str) -> list[str]:
    (line,) = [line for line in out.splitlines() if line.startswith("next ")]
    return shlex.split(line.removeprefix("next "))


def test_the_documents_that_are_promised(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = ("--work", "work", "--archive", "kept")
    assert document(capsys, source, *work, "--status")["stage"] == "new"
    planned = document(capsys, source, *work, "--drop-over", BIG)
    assert set(planned) == {"schema", *DOCUMENTS["builder slim-repo"].keys}
    told = document(capsys, source, *work, "--status")
    assert set(told) == {"schema", *DOCUMENTS["builder slim-repo --status"].keys}
    assert told["approve"] == planned["approve"] and told["next"].endswith(f"--approve {planned['approve']}")
    done = document(capsys, source, *work, "--approve", planned["approve"])
    assert set(done) == {"schema", *DOCUMENTS["builder slim-repo --approve"].keys} and done["published"] is None
    out, _ = printed(capsys, source, *work, "--status")
    assert "mirrored, planned, archived, rewritten, verified, recorded, bundled\n" in out
    git(Path.cwd(), "init", "--quiet", "--bare", "new.git")
    published = document(capsys, source, *work, "--approve", planned["approve"], "--publish-to", "new.git")
    assert published["stage"] == "published" and published["next"] == ""


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (("--drop-over", "big"), "--drop-over: 'big' is no size", 2),
        (("--drop", "/"), "'/' is no glob", 2),
        (("--restart", "--approve", "1"), "--restart does not go with --approve", 2),
        (("--approve", "0123456789abcdef"), "nothing is planned yet", 2),
        (("--archive", "ftp://x"), "is no place for an archive", 2),
        (("--approve", "0123456789abcdef", "--publish-to", "team/agent-small.git"), "team/agent-small.git is not there", 2),
        (("--work", "../team/agent.git/work"), "the source is never written to", 2),
    ],
)
def test_what_cannot_be(source: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str, code: int) -> None:
    assert said in printed(capsys, source, *words, code=code)[1]


_ALONE = {
    ("--yes",): "--yes only goes with --move-clone",
    ("--to", "x.git"): "--to only goes with --move-clone",
    ("--taken-out", "keep"): "--taken-out only goes with --move-clone",
    ("--max-size", "3MB"): "--max-size only goes with --check",
    ("--publish-to", "x.git"): "--publish-to only goes with --approve",
    ("--status", "--restart"): "--restart does not go with --status",
    ("--status", "--drop-over", "1MB"): "--drop-over does not go with --status",
    ("--status", "--approve", "1"): "--approve does not go with --status",
    ("--check", "--approve", "1"): "--approve does not go with --check",
    ("--check", "--work", "x"): "--work does not go with --check",
    ("--check", "--move-clone"): "--move-clone does not go with --check",
    ("--move-clone", ".", "--keep", "x"): "--keep does not go with --move-clone",
    ("--move-clone", "."): "SOURCE does not go with --move-clone",
}


@pytest.mark.parametrize("words", _ALONE)
def test_nothing_that_is_said_is_ignored(source: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    """Whatever does not count is refused by name, together with what it was said with, before anything is done."""
    before = fingerprint(source.parent)
    _, err = printed(capsys, source, *words, code=2)
    assert _ALONE[words] in err and "hint: " in err
    assert fingerprint(source.parent) == before and not list(Path.cwd().iterdir())


def test_every_option_counts_for_something_and_has_a_place_in_the_help() -> None:
    names = {str(each.name) for each in frame.command_of(["slim-repo"]).params if isinstance(each, click.Option)}
    listed = [name for own in slim_modes.SECTIONS.values() for name in own]
    assert set(listed) == names - {"form", "verbose"} and len(listed) == len(set(listed))


def test_a_source_that_moved_is_no_wrong_usage(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planned = document(capsys, source)
    git(source, "update-ref", "refs/tags/late", "main~2")
    _, err = printed(capsys, source, "--approve", planned["approve"], code=1)
    assert "its refs changed since" in err and "run it again without --approve" in err


def test_a_source_that_does_not_answer_is_told_of_in_one_line(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("nowhere.git",), ("ssh://nobody@127.0.0.1:1/x.git",)):
        _, err = printed(capsys, *words, code=1)
        assert len(err.splitlines()) == 2 and "is no repository that can be read: " in err
        assert "Could not read" not in err and "access rights" not in err
    planned = document(capsys, source)
    git(source.parent, "clone", "--quiet", str(source), "clone")
    _, err = printed(capsys, "--move-clone", source.parent / "clone", "--to", source.parent / "nowhere.git", code=1)
    assert "cannot be fetched: '" in err and len(err.splitlines()) == 2 and planned


def test_interrupted_says_how_to_go_on(source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("repo_slim.slim.run", interrupted)
    assert printed(capsys, source, code=130)[1] == "interrupted: run the same line again, it goes on\n"


def test_begun_anew(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document(capsys, source, "--drop-over", BIG)
    planned = document(capsys, source, "--restart")
    assert 'drop_over = "1MB"' in Path(planned["plan"]).read_text()


def test_flags_become_the_plan(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--drop", "*.ckpt", "--drop", "/data/**", "--keep", "model-1.bin", "--lfs", "drop", "--replace", "placeholder")
    text = Path(document(capsys, source, *flags)["plan"]).read_text()
    for line in (
        '    "*.ckpt",  # ',
        '    "/data/**",  # ',
        '    "model-1.bin",  # ',
        'lfs = "drop"',
        'replace = "placeholder"',
        "# drop_over",
    ):
        assert line in text


def test_a_source_with_its_data_root_inside_is_not_written_to(source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    git(source.parent, "clone", "--quiet", str(source), "clone")
    monkeypatch.chdir(source.parent / "clone")
    before = fingerprint(source.parent / "clone")
    planned = document(capsys, ".", "--drop-over", BIG)
    assert planned["archive"] == str(source.parent / "clone.slim-archive")
    document(capsys, ".", "--approve", planned["approve"])
    document(capsys, ".", "--restart")
    assert (source.parent / "clone.slim-archive" / "archive" / "runs" / planned["approve"] / "manifest.json").is_file()
    assert fingerprint(source.parent / "clone") == before


def test_what_comes_next_names_the_archive(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planned = document(capsys, source, "--drop-over", BIG, "--archive", "kept")
    kept = str(Path.cwd() / "kept")
    assert shlex.split(planned["next"])[3:5] == ["--archive", "kept"]
    told = document(capsys, source, "--status")
    assert told["archive"] == kept and shlex.split(told["next"])[3:5] == ["--archive", kept]
    out, err = printed(capsys, source, "--approve", planned["approve"])
    assert f"archive      {kept}/archive/runs/" in out and next_words(out)[3:5] == ["--archive", kept]
    assert "1 LFS object could not be found, so the archive has no copy of it" in err
    assert f"archive      {kept}\n" in printed(capsys, source, "--status")[0]


def test_from_a_directory_in_the_repository(source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    git(source.parent, "clone", "--quiet", str(source), "clone")
    (source.parent / "clone" / "sub").mkdir()
    monkeypatch.chdir(source.parent / "clone" / "sub")
    planned = document(capsys, ".")
    assert planned["work"] == str(source.parent / "clone.slim")
    assert planned["approve"] == document(capsys, source.parent / "clone" / ".git")["approve"]


def test_every_error_of_the_library_has_one_root() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) > 8 and all(issubclass(kind, errors.SlimError) and not issubclass(kind, BuilderError) for kind in kinds)
