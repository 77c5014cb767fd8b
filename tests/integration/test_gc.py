"""`builder gc images` as people and scripts use it: in a layout, where bytes can be counted, and in a registry."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from builder.cli import frame
from builder.cli import gc as command
from builder.cli.documents import DOCUMENTS
from builder.collect.kinds import KINDS
from builder.data.directory import DirectoryObjects
from builder.data.ledger import Ledger
from builder.model.oci import MANIFEST, canonical_json, sha256
from builder.settings import GcSettings
from builder.stores.layout import LayoutStore
from tests.fixtures.images import flatten, put_base
from tests.fixtures.registry_rules import Options
from tests.fixtures.registry_server import RegistryServer
from tests.fixtures.repositories import Repository, an_empty_repository, at_nobodys_home, clone, numbered  # noqa: F401

DAY = 86400.0
LAYOUT = ".builder/images"


@dataclass(frozen=True)
class Said:
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


Builder = Callable[..., Said]


@pytest.fixture
def builder(capsys: pytest.CaptureFixture[str]) -> Builder:
    def run(*words: str, code: int = 0) -> Said:
        capsys.readouterr()
        ended = frame.run(list(words))
        said = Said(*capsys.readouterr())
        assert ended == code, said
        return said

    return run


@pytest.fixture
def here(repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Repository:
    """Five commits on a base that lies elsewhere, checked out; the working directory."""
    digest = put_base(LayoutStore(tmp_path / "bases"), b"one" * 1000, b"two" * 1000, tag="v1")
    toml = f'[image]\nbase = "oci:{tmp_path}/bases@{digest}"\n'.encode()
    first = {**numbered(60), "builder.toml": toml, ".gitignore": b".builder/\n"}
    repository.history(first, *({"src/file1/1.py": os.urandom(400).hex().encode()} for _ in range(4)))
    repository.check_out()
    monkeypatch.chdir(repository.directory)
    return repository


def age(directory: Path, days: float = 40) -> None:
    for path in directory.rglob("*"):
        os.utime(path, (time.time() - days * DAY,) * 2)


def on_disk(directory: Path) -> int:
    return sum(path.stat().st_size for path in (directory / "blobs").rglob("*") if path.is_file())


def files(directory: Path) -> dict[str, tuple[bytes, float]]:
    return {str(path): (path.read_bytes(), path.stat().st_mtime) for path in directory.rglob("*") if path.is_file()}


def going(said: Said) -> dict[str, dict[str, Any]]:
    """By commit, as far as it has one, or tag."""
    return {one["label"]: one for one in said.document["things"] if one["became"] != "kept"}


# --- a layout -------------------------------------------------------------------------------------------------------------------------


def test_what_nothing_needs_goes_and_as_many_bytes_as_were_foreseen(here: Repository, builder: Builder) -> None:
    builder("image", "--missing")
    first, _, third, *_ = here.text("rev-list", "--reverse", "HEAD").split()
    here.git("branch", "kept", third)
    place, store = here.directory / LAYOUT, LayoutStore(here.directory / LAYOUT)
    (place / "blobs/sha256" / ("0" * 64)).write_bytes(b"left over")
    assert "nothing to delete" in builder("gc", "images", "--yes").err  # all is young
    age(place)
    before, had = files(here.directory / ".builder"), on_disk(place)
    foreseen = builder("gc", "images", "--dry-run", "-o", "json")
    assert files(here.directory / ".builder") == before
    assert set(foreseen.document) == {"schema", *DOCUMENTS["builder gc"].keys}
    assert all(set(one) == set(DOCUMENTS["builder gc"].parts["things"]) for one in foreseen.document["things"])
    assert {"became": "would go", "why": "no manifest names them", "size": 9}.items() <= going(foreseen)[""].items()
    assert len(going(foreseen)) == 4
    done = builder("gc", "--yes", "-o", "json", "images")
    assert done.document["freed"] == foreseen.document["freed"] == had - on_disk(place) > 0
    assert going(done)[first[:12]]["became"] == "removed"
    assert {tag[:40] for tag in store.list_tags()} == {third, here.text("rev-parse", "HEAD")}
    assert flatten_of_commit(store, third) == here.files(third)
    assert "7 code layers compared" in builder("verify", third).out
    assert "nothing to delete" in builder("gc", "images", "--yes").err
    again = builder("image", "--commit", first).out.strip()
    assert again.endswith(going(done)[first[:12]]["name"])  # a commit's image can be made again, the same


def flatten_of_commit(store: LayoutStore, sha: str) -> dict[bytes, Any]:
    """Its code alone: of the base a layout has nothing."""
    found = flatten(store, sha)
    return {path: file for path, file in found.items() if not path.startswith(b"base")}


def test_without_a_terminal_nothing_goes_unless_it_is_said(here: Repository, builder: Builder) -> None:
    builder("image", "--missing")
    age(here.directory / LAYOUT)
    before = files(here.directory / LAYOUT)
    assert "4 things would go" in (said := builder("gc", "images")).err
    assert "nothing was deleted: --yes does it" in said.err
    assert "1 branches and tags" in said.err
    assert len(said.out.splitlines()) == 5
    assert files(here.directory / LAYOUT) == before


def test_a_remote_keeps_images_and_one_that_does_not_answer_keeps_them_all(here: Repository, builder: Builder, tmp_path: Path) -> None:
    builder("image", "--missing")
    age(here.directory / LAYOUT)
    first = here.text("rev-list", "--max-parents=0", "HEAD")
    other = Repository.make(tmp_path / "other", "--bare")
    here.git("push", "--quiet", str(other.directory), f"{first}:refs/tags/v1")
    here.git("remote", "add", "upstream", str(other.directory))
    assert len(going(builder("gc", "images", "--dry-run", "-o", "json"))) == 3
    before = files(here.directory / LAYOUT)
    other.directory.rename(tmp_path / "away")
    said = builder("gc", "images", "--yes", code=1)
    assert "the remote upstream does not answer" in said.err
    assert "nothing is deleted" in said.err
    assert files(here.directory / LAYOUT) == before


def test_a_run_keeps_its_image_and_a_record_that_cannot_be_read_keeps_them_all(here: Repository, builder: Builder) -> None:
    builder("image", "--missing")
    age(here.directory / LAYOUT)
    first = here.text("rev-list", "--max-parents=0", "HEAD")
    objects = DirectoryObjects(here.directory / ".builder/data")
    Ledger(objects).write("finetune-1", "run", {"flow": "finetune", "commit": first, "state": "running", "started": "2024-05-01T08:00:00Z"})
    said = builder("gc", "images", "--dry-run", "-o", "json")
    (kept,) = [one for one in said.document["things"] if one["label"] == first[:12]]
    assert (kept["became"], kept["why"]) == ("kept", "the ledger has no end of finetune-1")
    objects.put("ledger/finetune-2/run.json", b"{")
    said = builder("gc", "images", "--yes", code=1)
    assert "ledger/finetune-2/run.json cannot be read" in said.err
    assert len(LayoutStore(here.directory / LAYOUT).manifests()) == 5


def test_settings_that_cannot_be_read_do_not_say_whom_to_ask(here: Repository, builder: Builder) -> None:
    builder("image", "--missing")
    age(here.directory / LAYOUT)
    (here.directory / "builder.toml").write_text("[gc]\nkeep_days = -1\n")
    assert "keep_days" in builder("gc", "images", "--yes", code=2).err
    assert len(LayoutStore(here.directory / LAYOUT).manifests()) == 5


def test_no_password_is_told(here: Repository, builder: Builder) -> None:
    here.git("remote", "add", "origin", "https://ada:secret@127.0.0.1:9/x")
    (here.directory / "builder.toml").write_text('[gc]\nremotes = ["https://ada:secret@127.0.0.1:9/y"]\n')
    for _ in range(2):
        said = builder("gc", "images", "--yes", code=1)
        assert "secret" not in said.err + said.out
        assert "does not answer" in said.err
        here.git("remote", "remove", "origin") if b"origin" in here.git("remote") else None


def test_a_lost_index_loses_no_image(here: Repository, builder: Builder) -> None:
    """Nobody's images go because nothing names them; and what was to be made again is still there."""
    builder("image", "--missing")
    shas = here.text("rev-list", "--reverse", "HEAD").split()
    here.git("branch", "kept", shas[2])
    place, store = here.directory / LAYOUT, LayoutStore(here.directory / LAYOUT)
    digests, had = {sha: store.get_manifest(sha) for sha in shas}, files(place / "blobs")
    (place / "index.json").write_text("{")
    said = builder("gc", "images", "--yes", code=1)
    assert "index.json is damaged" in said.err
    assert "`builder image --missing`, which writes a new one" in said.err
    (place / "index.json").unlink()
    age(place)
    said = builder("gc", "images", "--yes", code=1)
    assert "index.json is missing, and there are blobs" in said.err
    assert files(place / "blobs").keys() == had.keys()
    builder("image", "--commit", "HEAD")
    age(place)
    done = builder("gc", "images", "--yes", "-o", "json")
    assert sorted(going(done)) == sorted(shas[number][:12] for number in (0, 1, 3))
    kept = digests[shas[2]]
    assert kept is not None
    assert store.get_manifest(kept.digest) == kept
    assert flatten_of_commit(store, kept.digest) == here.files(shas[2])
    assert builder("image", "--commit", shas[2]).out.strip().endswith(kept.digest)  # and has its name again
    assert "code layers compared" in builder("verify", shas[2]).out


def test_two_repositories_in_one_layout_keep_their_images(here: Repository, builder: Builder, tmp_path: Path) -> None:
    to = f"oci:{tmp_path}/shared"
    builder("image", "--missing", "--to", to)
    other = Repository.make(tmp_path / "other")
    sha = other.commit({"builder.toml": b'[image]\nbase = "scratch"\n', "a": b"theirs"})
    other.check_out()
    builder("image", "--to", to, "--repo", str(other.directory))
    age(tmp_path / "shared")
    said = builder("gc", "images", "--yes", "--to", to)
    assert "1 of commits that this clone does not know" in said.err
    assert "1 image is of commits that this clone does not know, maybe another repository's: --unknown" in said.err
    assert "4 removed" in said.err
    assert LayoutStore(tmp_path / "shared").get_manifest(sha) is not None
    assert "1 removed" in builder("gc", "images", "--yes", "--to", to, "--unknown").err
    assert LayoutStore(tmp_path / "shared").get_manifest(sha) is None


def test_what_has_gone_is_not_missing(here: Repository, builder: Builder) -> None:
    """Old commits between two that keep their images."""
    builder("image", "--missing")
    here.git("branch", "kept", here.text("rev-list", "--max-parents=0", "HEAD"))
    age(here.directory / LAYOUT)
    assert "3 removed" in builder("gc", "images", "--yes").err
    assert "no commit is without an image" in builder("image", "--missing").err
    (here.directory / "builder.toml").write_text((here.directory / "builder.toml").read_text() + "[gc]\nkeep_days = 100000\n")
    assert "3 commits without an image" in builder("image", "--missing").err


def test_what_cannot_be_removed_is_told_as_it_is(here: Repository, builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    builder("image", "--missing")
    age(here.directory / LAYOUT)
    had = files(here.directory / LAYOUT / "blobs")
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.parent.name == "sha256":
            raise PermissionError(1, "Operation not permitted")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    said = builder("gc", "images", "--yes", code=1)
    assert said.err.count("could not be removed: cannot remove") == 4
    assert "index.json does not name it any more" in said.err
    assert "4 failed; 0 B freed" in said.err
    assert "nothing was deleted" not in said.err
    assert files(here.directory / LAYOUT / "blobs").keys() == had.keys()
    monkeypatch.undo()
    monkeypatch.chdir(here.directory)
    assert "4 removed" in builder("gc", "images", "--yes").err  # they are seen although they have no name


def test_the_help_knows_the_defaults(builder: Builder) -> None:
    said = " ".join(builder("gc", "--help").out.split())
    assert f"Default: [gc] keep_days, {GcSettings().keep_days}." in said
    assert f"Default: [gc] keep_last, {GcSettings().keep_last}." in said


def test_a_directory_that_is_not_there_is_not_one_that_is_clean(here: Repository, builder: Builder, tmp_path: Path) -> None:
    err = builder("gc", "images", "--dry-run", "--to", f"oci:{tmp_path}/misspelt", code=2).err
    assert f"there is no directory {tmp_path}/misspelt" in err
    assert "nothing to delete" in builder("gc", "images", "--dry-run").err, "the configured one that nobody has written to yet"


def test_a_daemon_has_its_own_way(here: Repository, builder: Builder) -> None:
    assert "docker image prune" in builder("gc", "images", "--to", "docker:", code=2).err


def test_the_help_knows_all_kinds() -> None:
    assert sorted(command.KINDS) == sorted(KINDS)


@pytest.mark.parametrize("moment", ["the index is written", "half of the files are gone"])
def test_killed_in_the_middle_the_next_time_ends_it(here: Repository, builder: Builder, moment: str) -> None:
    here.history(*({"src/file1/1.py": os.urandom(400).hex().encode()} for _ in range(60)))
    here.check_out()
    builder("image", "--missing")
    place, head = here.directory / LAYOUT, here.text("rev-parse", "HEAD")
    age(place)
    index, blobs = (place / "index.json").read_bytes(), place / "blobs" / "sha256"
    count = len(list(blobs.iterdir()))
    argv = [sys.executable, "-m", "builder", "gc", "images", "--yes"]
    running = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=here.directory)
    deadline = time.monotonic() + 120
    while running.poll() is None and time.monotonic() < deadline:
        half = len(list(blobs.iterdir())) < count - 100
        if half or (moment == "the index is written" and (place / "index.json").read_bytes() != index):
            running.kill()
    running.wait()
    assert {tag[:40] for tag in LayoutStore(place).list_tags()} == {head}
    assert flatten_of_commit(LayoutStore(place), head) == here.files(head)
    builder("gc", "images", "--yes")
    (manifest,) = LayoutStore(place).manifests()
    named = json.loads((blobs / manifest[7:]).read_text())
    kept = {manifest, named["config"]["digest"], *(layer["digest"] for layer in named["layers"])}
    assert {f"sha256:{path.name}" for path in blobs.iterdir()} <= kept


# --- a registry -----------------------------------------------------------------------------------------------------------------------


def seen_long_ago(here: Repository) -> None:
    """Nothing has needed for forty days what clean-up found unneeded just now."""
    (path,) = (here.directory / ".builder/data/gc").glob("*/unneeded.json")
    document = json.loads(path.read_text())
    assert document["schema"] == 1
    assert document["since"]
    since = {digest: when - 40 * DAY for digest, when in document["since"].items()}
    path.write_text(json.dumps({**document, "since": since}))


def store_in(here: Repository, text: str, more: str = "") -> None:
    here.git("remote", "remove", "upstream", "--") if b"upstream" in here.git("remote") else None
    toml = (here.directory / "builder.toml").read_text()
    (here.directory / "builder.toml").write_text('[image]\nbase = "scratch"\n' + f"[store]\n{text}\n{more}" + toml[:0])


def test_in_a_registry_it_takes_two_looks(here: Repository, builder: Builder) -> None:
    with RegistryServer() as server:
        to = f"{server.host}/team/app"
        store_in(here, f'to = "{to}"')
        builder("image", "--missing", "--base", "scratch")
        head, first = here.text("rev-parse", "HEAD"), here.text("rev-list", "--max-parents=0", "HEAD")
        signed = sha256(server_manifest(server, first))
        subject = {"mediaType": MANIFEST, "digest": signed, "size": 1}
        empty = server.add_blob("team/app", b"{}")
        config = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2}
        signature = canonical_json({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [], "subject": subject})
        server.add_manifest("team/app", signature, MANIFEST, f"sha256-{signed[7:]}.sig")
        assert "nothing to delete" in (said := builder("gc", "images", "--yes")).err
        assert "does not say how old they are" in said.err
        assert "nothing to delete" in builder("gc", "images", "--yes", "--keep-days", "0").err  # two hours, whatever is said
        seen_long_ago(here)
        foreseen = builder("gc", "images", "--dry-run", "-o", "json")
        kinds = [one["kind"] for one in foreseen.document["things"] if one["became"] == "would go"]
        assert sorted(kinds) == ["image"] * 4 + ["referrer"]
        done = builder("gc", "images", "--yes", "-o", "json")
        assert done.document["freed"] == foreseen.document["freed"] > 0
        assert all(one["became"] in ("kept", "removed") for one in done.document["things"])
        assert "5 removed; " in done.err
        assert done.err.endswith(" freed once the registry's own garbage collector has run\n")
        assert "code layers compared" in builder("verify", head).out
        assert "nothing to delete" in builder("gc", "images", "--yes").err
        assert server.seen("GET", f"/v2/team/app/manifests/{first}")


def server_manifest(server: RegistryServer, ref: str) -> bytes:
    import urllib.request

    accept = {"Accept": MANIFEST}
    with urllib.request.urlopen(urllib.request.Request(f"{server.url}/v2/team/app/manifests/{ref}", headers=accept)) as answer:
        return bytes(answer.read())


def test_where_a_registry_deletes_nothing_there_is_the_list(here: Repository, builder: Builder) -> None:
    with RegistryServer(options=Options(deletes=False)) as server:
        store_in(here, f'to = "{server.host}/team/app"')
        builder("image", "--missing", "--base", "scratch")
        builder("gc", "images", "--yes")
        seen_long_ago(here)
        said = builder("gc", "images", "--yes", code=1)
        assert sum(line.startswith("image ") for line in said.out.splitlines()) == 4
        assert "delet" in said.err.splitlines()[-3]


def test_others_use_a_registry_so_their_runs_must_be_seen(here: Repository, builder: Builder) -> None:
    with RegistryServer() as server:
        store_in(here, f'push = "{server.host}/team/app"\npull = "registry.example.com/team/app"')
        said = builder("gc", "images", "--yes", code=1)
        assert "others use registry.example.com/team/app" in said.err
        assert '[data] root = "s3://' in said.err
