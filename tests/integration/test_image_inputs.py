"""What the digest may depend on is what the inputs key depends on; and what is no image of ours under a commit's tag."""

from __future__ import annotations

import io
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from builder.cache import Cache
from builder.cli import frame
from builder.errors import StoreError, UsageError
from builder.image.assemble import rfc3339
from builder.image.base import Base, load_base
from builder.image.build import build_image
from builder.image.compose import Inputs
from builder.image.missing import find_missing
from builder.image.report import count_as_sent, existing_image
from builder.model.annotations import INPUTS
from builder.model.image import BuiltImage
from builder.model.oci import INDEX, canonical_json
from builder.settings import ImageSettings
from builder.source.repository import Git
from builder.stores.layout import LayoutStore
from tests.fixtures.images import ON_NOTHING, build, put_base, tar
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.repositories import Repository, an_empty_repository, at_nobodys_home  # noqa: F401

D = "sha256:" + "0" * 64


@pytest.fixture
def commits(repository: Repository) -> list[str]:
    return repository.history(*({"a.py": b"%d" % number} for number in range(3)))


def made(repository: Repository, settings: ImageSettings, base: Base | None = None) -> BuiltImage:
    """In a new layout, which does without the base."""
    with Git.open(repository.directory) as git, tempfile.TemporaryDirectory() as directory:
        inputs = Inputs(settings, base) if base else Inputs(settings)
        return build_image(git, LayoutStore(Path(directory)), git.resolve("main"), inputs)


@pytest.mark.parametrize(
    "change",
    [
        {"tool": "9.9"},
        {"python": "3.12"},
        {"base": f"oci:/one/machine@{D}"},
        {"base": f"registry.example.com/mirrored@{D}"},
        {"env": {"B": "2", "A": "1"}},
        {"env": {"A": "1", "B": "2"}},
        {"source": "https://example.com/repo"},
        {"exclude": ("docs/",)},
        {"pythonpath": ("src",)},
        {"workdir": "/app"},
        {"lfs": "fetch"},
        {"submodules": "skip"},
    ],
    ids=lambda change: "-".join(change),
)
def test_the_digest_changes_if_and_only_if_the_inputs_key_does(
    repository: Repository, commits: list[str], change: dict[str, object]
) -> None:
    plain, other = made(repository, ON_NOTHING), made(repository, replace(ON_NOTHING, **change))  # type: ignore[arg-type]
    assert (plain.digest == other.digest) == (plain.manifest.annotations[INPUTS] == other.manifest.annotations[INPUTS])


def test_the_order_of_variables_is_nobodys_business(repository: Repository, commits: list[str]) -> None:
    one, other = ({"A": "1", "B": "2"}, {"B": "2", "A": "1"})
    assert made(repository, replace(ON_NOTHING, env=one)).digest == made(repository, replace(ON_NOTHING, env=other)).digest


def test_where_an_oci_base_lies_does_not_show(repository: Repository, commits: list[str], tmp_path: Path) -> None:
    digests = set()
    for name in ("here", "there"):
        store = LayoutStore(tmp_path / name)
        digest = put_base(store, tar({"bin/sh": b"x"}))
        reference = f"oci:{tmp_path / name}@{digest}"
        base = load_base(reference, [store], Cache(tmp_path / "cache" / name))
        digests.add(made(repository, ImageSettings(base=reference), base).digest)
    assert len(digests) == 1


def test_the_name_of_the_base_is_in_the_image_and_in_its_key(repository: Repository, commits: list[str], tmp_path: Path) -> None:
    store = LayoutStore(tmp_path / "bases")
    digest = put_base(store, tar({"bin/sh": b"x"}))
    base = load_base(f"oci:{tmp_path / 'bases'}@{digest}", [store], Cache(tmp_path / "cache"))
    images = [made(repository, ImageSettings(base=f"{name}@{digest}"), base) for name in ("one.example.com/base", "two.example.com/base")]
    assert len({image.digest for image in images}) == len({image.manifest.annotations[INPUTS] for image in images}) == 2


@pytest.mark.parametrize(("seconds", "text"), [(-5, "1970-01-01T00:00:00Z"), (10**15, "9999-12-31T23:59:59Z"), (0, "1970-01-01T00:00:00Z")])
def test_dates_that_no_calendar_has(seconds: int, text: str) -> None:
    assert rfc3339(seconds) == text


def foreign_image(store: MemoryStore, tag: str) -> None:
    """What `docker buildx build --push` leaves under a commit's tag: an index."""
    digest = put_base(store, tar({"x": b"y"}))
    entry = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1}
    store.put_manifest(canonical_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}), INDEX, (tag,))


def test_a_foreign_image_of_the_parent_is_passed_over(repository: Repository, commits: list[str]) -> None:
    store = MemoryStore()
    foreign_image(store, commits[1])
    build(repository.directory, store, commits[0])
    assert build(repository.directory, store, commits[2]).digest == build(repository.directory, MemoryStore(), commits[2]).digest


def test_a_foreign_image_is_not_the_commits(repository: Repository, commits: list[str]) -> None:
    store = MemoryStore()
    foreign_image(store, commits[2])
    with Git.open(repository.directory) as git:
        commit = git.resolve("main")
        with pytest.raises(StoreError, match="did not make"):
            existing_image(store, commit, commit.sha)
        assert [found.sha for found in find_missing(git, store, commit).commits] == commits
        image = build_image(git, store, commit, Inputs(ON_NOTHING))
    tagged = store.get_manifest(f"{commit.sha}-{image.manifest.annotations[INPUTS]}")
    assert tagged is not None and tagged.digest == image.digest
    plain = store.get_manifest(commit.sha)
    assert plain is not None and plain.media_type == INDEX, "a tag that is taken stays"


def test_since_must_be_on_the_line(repository: Repository, commits: list[str]) -> None:
    aside = repository.history({"b": b"1"}, branch="aside", orphan=True)[0]
    with Git.open(repository.directory) as git, pytest.raises(UsageError, match=r"not among the first parents"):
        find_missing(git, MemoryStore(), git.resolve("main"), git.resolve(aside))


def test_one_bad_commit_does_not_hold_up_the_others(
    repository: Repository, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = b'[image]\nbase = "scratch"\n'
    shas = repository.history(
        {"builder.toml": good},
        {"builder.toml": b"[image]\npythonpath = 3\n"},
        {"builder.toml": good, ".wh.x": b""},
        {".wh.x": None, "ok": b"1"},
    )
    repository.check_out()
    monkeypatch.chdir(repository.directory)
    assert frame.run(["image", "--missing", "-o", "json"]) == 1
    said = capsys.readouterr()
    assert [image["commit"] for image in json.loads(said.out)] == [shas[0], shas[3]]
    assert said.err.count("skipped:") == 2 and shas[1][:12] in said.err and shas[2][:12] in said.err


def test_a_plan_keeps_no_ref_to_the_working_tree(
    repository: Repository, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.history({"builder.toml": b'[image]\nbase = "scratch"\n'})
    repository.check_out()
    (repository.directory / "new.py").write_text("x = 1\n")
    monkeypatch.chdir(repository.directory)
    assert frame.run(["image", "--dirty", "--dry-run", "-o", "table"]) == 0
    assert repository.text("for-each-ref", "refs/builder") == ""
    assert frame.run(["image", "--dirty"]) == 0
    assert "refs/builder/wip/" in repository.text("for-each-ref", "refs/builder")
    capsys.readouterr()


def test_a_sparse_layout_says_what_it_does_without(repository: Repository, commits: list[str], tmp_path: Path) -> None:
    bases, store = LayoutStore(tmp_path / "bases"), LayoutStore(tmp_path / "images")
    layer = tar({"bin/sh": b"x" * 5000})
    digest = put_base(bases, layer)
    reference = f"oci:{tmp_path / 'bases'}@{digest}"
    base = load_base(reference, [bases], Cache(tmp_path / "cache"))
    with Git.open(repository.directory) as git:
        image = build_image(git, store, git.resolve("main"), Inputs(ImageSettings(base=reference), base))
    assert [layer.state for layer in image.layers] == ["absent", "uploaded"]
    assert (image.reused_bytes, image.new_bytes) == (0, image.layers[1].size + image.manifest.config.size)
    for blob in base.layers:
        store.put_blob(blob, lambda blob=blob: io.BytesIO(b"".join(bases.open_blob(blob.digest))))  # type: ignore[misc]
    again = existing_image(store, image.commit, image.commit.sha)
    assert again is not None and [layer.state for layer in again.layers] == ["reused", "reused"]


def test_layers_below_that_were_sent_count_once(repository: Repository, commits: list[str]) -> None:
    image = made(repository, ON_NOTHING)
    below = replace(image.layers[0], digest=D, size=70, kind="tool", state="reused")
    with_tool = replace(image, layers=(below, *image.layers), reused_bytes=70)
    counted = count_as_sent(with_tool, {D})
    assert [layer.state for layer in counted.layers] == ["uploaded", "uploaded"]
    assert (counted.new_bytes, counted.reused_bytes) == (image.new_bytes + 70, 0)
    assert count_as_sent(counted, {D}) == counted
    assert count_as_sent(with_tool, set()) == with_tool
