"""A new remote gets the history, and any other is left as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from repo_slim.errors import PublishError
from repo_slim.slim import Asked, run
from tests.fixtures.slim_history import BIG, git, make
from tests.fixtures.slimming import Plain, Slimmed, slim


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Slimmed:
    place = tmp_path_factory.mktemp("publish")
    make(place / "source.git", 60)
    return slim(place / "source.git", place, drop_over=BIG)


def publish(done: Slimmed, url: Path | str) -> dict[str, Any]:
    place = done.work.parent
    asked = Asked(str(place / "source.git"), done.work, str(done.archive), approve=done.told["approve"], publish_to=str(url))
    return run(asked)


def bare(path: Path) -> Path:
    git(path.parent, "init", "--quiet", "--bare", "--template=", "--initial-branch=trunk", str(path))
    return path


def refs(directory: Path) -> dict[str, str]:
    plain = Plain(directory)
    plain.close()
    return plain.refs()


def test_an_empty_remote_gets_all_of_it(done: Slimmed, tmp_path: Path) -> None:
    url = bare(tmp_path / "new.git")
    told = publish(done, url)["published"]
    ours = refs(done.slim)
    assert refs(url) == {name: oid for name, oid in ours.items() if name not in told["skipped"]}
    assert told["head"] == "refs/heads/main" and (url / "HEAD").read_text() == "ref: refs/heads/main\n"


def test_published_again_it_does_nothing(done: Slimmed, tmp_path: Path) -> None:
    url = bare(tmp_path / "new.git")
    first = publish(done, url)
    before = refs(url)
    assert publish(done, url) == first and refs(url) == before


def test_a_push_that_was_broken_off_goes_on(done: Slimmed, tmp_path: Path) -> None:
    url = bare(tmp_path / "new.git")
    git(done.slim, "push", "--quiet", str(url), "refs/heads/main", "refs/tags/v1")
    publish(done, url)
    assert "refs/builder/commit-map" in refs(url)


def test_a_remote_with_something_else_is_left_as_it_is(done: Slimmed, tmp_path: Path) -> None:
    url = bare(tmp_path / "other.git")
    git(done.slim, "push", "--quiet", str(url), "refs/heads/main~1:refs/heads/theirs")
    before = refs(url)
    with pytest.raises(PublishError, match="refs/heads/theirs there is neither the source's nor ours"):
        publish(done, url)
    assert refs(url) == before


def test_the_unmoved_source_itself_may_be_replaced(done: Slimmed, tmp_path: Path) -> None:
    """A remote that is exactly what was mirrored. Refs that a server keeps for itself stay, and people are told."""
    url = tmp_path / "remote.git"
    git(done.work.parent, "clone", "--quiet", "--mirror", "source.git", str(url))
    told = publish(done, url)["published"]
    ours = refs(done.slim)
    assert {name: oid for name, oid in refs(url).items() if name in ours and name not in told["skipped"]} == {
        name: oid for name, oid in ours.items() if name not in told["skipped"]
    }
    assert any("keep the old history (refs/pull/1/head" in text for text in told["warnings"])


def test_a_remote_that_is_the_source_with_one_more_commit_is_refused(done: Slimmed, tmp_path: Path) -> None:
    url = tmp_path / "remote.git"
    git(done.work.parent, "clone", "--quiet", "--mirror", "source.git", str(url))
    late = git(url, "commit-tree", "main^{tree}", "-p", "main", "-m", "late").decode().strip()
    git(url, "update-ref", "refs/heads/main", late)
    before = refs(url)
    with pytest.raises(PublishError, match="refs/heads/main there is neither"):
        publish(done, url)
    assert refs(url) == before


def test_a_remote_with_a_part_of_the_source_is_refused(done: Slimmed, tmp_path: Path) -> None:
    url = bare(tmp_path / "part.git")
    git(done.work.parent / "source.git", "push", "--quiet", str(url), "refs/heads/main")
    before = refs(url)
    with pytest.raises(PublishError, match="but not all of them"):
        publish(done, url)
    assert refs(url) == before


def test_a_remote_that_refuses(done: Slimmed, tmp_path: Path) -> None:
    url = bare(tmp_path / "new.git")
    hook = url / "hooks" / "pre-receive"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\necho too large for us >&2\nexit 1\n")
    hook.chmod(0o755)
    git(url, "config", "core.hooksPath", str(hook.parent))
    with pytest.raises(PublishError, match="too large for us"):
        publish(done, url)
    hook.unlink()
    assert publish(done, url)["stage"] == "published"


def test_lfs_objects_of_tips_are_there(tmp_path: Path) -> None:
    made = make(tmp_path / "source.git", 120)
    done = slim(tmp_path / "source.git", tmp_path, str(tmp_path / "new.git"), drop_over=BIG)
    there = {path.name for path in (tmp_path / "new.git/lfs/objects").rglob("*") if path.is_file()}
    assert there and there == {path.name for path in (done.slim / "lfs/objects").rglob("*") if path.is_file()} <= set(made.lfs)
