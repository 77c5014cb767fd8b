"""`builder verify` finds every way in which an image can differ from its commit, and names the path."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builder.cli import frame
from builder.cli.verify import split_reference
from builder.errors import IntegrityError
from builder.image.verify import Verdict, commit_of, verify_image
from builder.model.image import BuiltImage
from builder.model.oci import CONFIG, MANIFEST, Descriptor, Manifest, canonical_json, sha256
from builder.source.repository import Git
from builder.stores.layout import LayoutStore
from tests.fixtures.images import ON_NOTHING, build, code_layers
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.repositories import Repository, an_empty_repository, at_nobodys_home, executable  # noqa: F401

FILES = {"src/a.py": b"1\n", "src/run.sh": executable(b"echo\n"), "link": "src/a.py", b"\xff": b"x", "empty": b""}


def verify(repository: Repository, store: MemoryStore, digest: str, *, deep: bool = False) -> Verdict:
    with Git.open(repository.directory) as git:
        return verify_image(git, store, git.resolve("main"), digest, ON_NOTHING, deep=deep)


@pytest.fixture
def made(repository: Repository) -> tuple[MemoryStore, BuiltImage]:
    repository.commit(FILES)
    store = MemoryStore()
    return store, build(repository.directory, store, "main")


@pytest.mark.parametrize("deep", [False, True])
def test_an_image_is_its_commit(repository: Repository, made: tuple[MemoryStore, BuiltImage], deep: bool) -> None:
    store, image = made
    verdict = verify(repository, store, image.digest, deep=deep)
    assert (verdict.problems, verdict.layers) == ((), len(code_layers(image)))


def test_one_on_top_of_others_too(repository: Repository) -> None:
    commits, store = repository.history(FILES, {"src/a.py": b"2\n"}, {"src/a.py": None, "src/b.py": b"3"}), MemoryStore()
    digests = [build(repository.directory, store, commit).digest for commit in commits]
    assert verify(repository, store, digests[-1]).problems == ()
    assert verify(repository, store, digests[0]).problems == (
        "code/src/a.py: is in the image, not in the commit",
        "code/src/b.py: is in the commit, not in the image",
    )


Tamper = Callable[[dict[str, tarfile.TarInfo], dict[str, bytes]], None]


def tampered(store: MemoryStore, image: BuiltImage, change: Tamper, *, honest: bool = True) -> str:
    """The image with its code layer changed; `honest`: manifest and config say what the layer really is."""
    (layer,) = code_layers(image)
    with tarfile.open(fileobj=io.BytesIO(store.blobs[layer.digest]), mode="r:gz", encoding="utf-8", errors="surrogateescape") as archive:
        members = {member.name: member for member in archive}
        contents = {name: stream.read() for name, member in members.items() if (stream := archive.extractfile(member)) and member.isreg()}
    change(members, contents)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape") as archive:
        for name, member in members.items():
            member.size = len(contents.get(name, b""))
            archive.addfile(member, io.BytesIO(contents.get(name, b"")))
    data, diff_id = gzip.compress(out.getvalue(), mtime=0), sha256(out.getvalue())
    annotations = {**layer.annotations, "dev.builder.diffid": diff_id} if honest else layer.annotations
    new = Descriptor(layer.media_type, sha256(data), len(data), annotations)
    config = json.loads(store.blobs[image.manifest.config.digest])
    config["rootfs"]["diff_ids"] = [diff_id] if honest else config["rootfs"]["diff_ids"]
    return put_image(store, replace(image.manifest, layers=(new,)), canonical_json(config), data)


def put_image(store: MemoryStore, manifest: Manifest, config: bytes, *blobs: bytes) -> str:
    store.blobs |= {sha256(blob): blob for blob in (config, *blobs)}
    described = replace(manifest, config=Descriptor(CONFIG, sha256(config), len(config)))
    return store.put_manifest(described.to_bytes(), MANIFEST)


def edit(members: dict[str, tarfile.TarInfo], contents: dict[str, bytes]) -> None:
    contents["code/src/a.py"] = b"evil\n"


def add(members: dict[str, tarfile.TarInfo], contents: dict[str, bytes]) -> None:
    members["code/evil"] = tarfile.TarInfo("code/evil")


def outside(members: dict[str, tarfile.TarInfo], contents: dict[str, bytes]) -> None:
    members["usr/bin/python"] = tarfile.TarInfo("usr/bin/python")


def remove(members: dict[str, tarfile.TarInfo], contents: dict[str, bytes]) -> None:
    del members["code/empty"]


def mode(members: dict[str, tarfile.TarInfo], contents: dict[str, bytes]) -> None:
    members["code/src/run.sh"].mode = 0o644


def setuid(members: dict[str, tarfile.TarInfo], contents: dict[str, bytes]) -> None:
    members["code/src/run.sh"].mode = 0o4755


def owner(members: dict[str, tarfile.TarInfo], contents: dict[str, bytes]) -> None:
    members["code/src/run.sh"].uid = 1000


def link(members: dict[str, tarfile.TarInfo], contents: dict[str, bytes]) -> None:
    members["code/link"].linkname = "/etc/shadow"


def retarget(members: dict[str, tarfile.TarInfo], contents: dict[str, bytes]) -> None:
    members["code/src/a.py"].type, members["code/src/a.py"].linkname = tarfile.SYMTYPE, "/etc/shadow"
    del contents["code/src/a.py"]


def device(members: dict[str, tarfile.TarInfo], contents: dict[str, bytes]) -> None:
    members["code/dev"] = tarfile.TarInfo("code/dev")
    members["code/dev"].type = tarfile.CHRTYPE


def hardlink(members: dict[str, tarfile.TarInfo], contents: dict[str, bytes]) -> None:
    members["code/hard"] = tarfile.TarInfo("code/hard")
    members["code/hard"].type, members["code/hard"].linkname = tarfile.LNKTYPE, "etc/shadow"


def directory(members: dict[str, tarfile.TarInfo], contents: dict[str, bytes]) -> None:
    members["tmp"] = tarfile.TarInfo("tmp")
    members["tmp"].type, members["tmp"].mode = tarfile.DIRTYPE, 0o777


def whiteout(members: dict[str, tarfile.TarInfo], contents: dict[str, bytes]) -> None:
    members["etc/.wh.passwd"] = tarfile.TarInfo("etc/.wh.passwd")


TAMPERED: dict[str, tuple[Tamper, str]] = {
    "content": (edit, "code/src/a.py: has other content"),
    "a file more": (add, "code/evil: is in the image, not in the commit"),
    "a file outside": (outside, "usr/bin/python: is in the image, not in the commit"),
    "a file less": (remove, "code/empty: is in the commit, not in the image"),
    "mode": (mode, "code/src/run.sh: has mode 100644 in the image, 100755 in the commit"),
    "setuid": (setuid, "code/src/run.sh"),
    "owner": (owner, "code/src/run.sh"),
    "target": (link, "code/link: has other content"),
    "a link for a file": (retarget, "code/src/a.py: has mode 120000 in the image"),
    "a device": (device, "code/dev: is in the image, not in the commit"),
    "a hard link": (hardlink, "code/hard: is in the image, not in the commit"),
    "a directory": (directory, "tmp: is in the image, not in the commit"),
    "a whiteout": (whiteout, "etc/.wh.passwd: is in the image, not in the commit"),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_what_differs_is_named(repository: Repository, made: tuple[MemoryStore, BuiltImage], what: str) -> None:
    change, expected = TAMPERED[what]
    problems = verify(repository, made[0], tampered(*made, change)).problems
    assert any(expected in problem for problem in problems), problems


@pytest.mark.parametrize("what", TAMPERED)
def test_an_image_that_lies_about_its_layer_is_found_too(repository: Repository, made: tuple[MemoryStore, BuiltImage], what: str) -> None:
    assert verify(repository, made[0], tampered(*made, TAMPERED[what][0], honest=False)).problems


def test_only_deep_reads_what_is_stored(repository: Repository, made: tuple[MemoryStore, BuiltImage]) -> None:
    """The digests are right, the store's bytes are not."""
    store, image = made
    (layer,) = code_layers(image)
    store.blobs[layer.digest] = gzip.compress(b"rotten")
    assert verify(repository, store, image.digest).problems == ()
    (problem,) = verify(repository, store, image.digest, deep=True).problems
    assert "damaged" in problem
    assert layer.digest in problem


def test_another_compression_of_the_same_files_is_fine(repository: Repository, made: tuple[MemoryStore, BuiltImage]) -> None:
    """As registries and mirrors may recompress: the DiffID is the identity."""
    store, image = made
    (layer,) = code_layers(image)
    data = gzip.compress(gzip.decompress(store.blobs[layer.digest]), 9)
    new = replace(layer, digest=sha256(data), size=len(data))
    digest = put_image(store, replace(image.manifest, layers=(new,)), store.blobs[image.manifest.config.digest], data)
    assert verify(repository, store, digest).problems == ()


def test_a_config_with_other_diff_ids_is_found(repository: Repository, made: tuple[MemoryStore, BuiltImage]) -> None:
    store, image = made
    config = json.loads(store.blobs[image.manifest.config.digest])
    config["rootfs"]["diff_ids"] = [sha256(b"other")]
    digest = put_image(store, image.manifest, canonical_json(config))
    assert any("the config says" in problem for problem in verify(repository, store, digest).problems)
    config["rootfs"]["diff_ids"] = []
    with pytest.raises(IntegrityError, match="names 0 layers"):
        verify(repository, store, put_image(store, image.manifest, canonical_json(config)))


def test_a_code_layer_that_hides_as_another_kind_is_found(repository: Repository, made: tuple[MemoryStore, BuiltImage]) -> None:
    store, image = made
    (layer,) = code_layers(image)
    base = replace(layer, annotations={"dev.builder.kind": "base"})
    config = json.loads(store.blobs[image.manifest.config.digest])
    config["rootfs"]["diff_ids"] *= 2
    digest = put_image(store, replace(image.manifest, layers=(layer, base)), canonical_json(config))
    assert verify(repository, store, digest).problems


def test_many_differences_are_not_all_told(repository: Repository, made: tuple[MemoryStore, BuiltImage]) -> None:
    def flood(members: dict[str, tarfile.TarInfo], contents: dict[str, bytes]) -> None:
        members.update({f"code/{number}": tarfile.TarInfo(f"code/{number}") for number in range(500)})

    assert len(verify(repository, made[0], tampered(*made, flood)).problems) == 20


def test_a_foreign_image_is_refused(made: tuple[MemoryStore, BuiltImage]) -> None:
    with pytest.raises(IntegrityError, match="not made by this tool"):
        commit_of(replace(made[1].manifest, annotations={}))
    assert commit_of(made[1].manifest) == made[1].commit.sha


# --- the command ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def here(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Repository:
    repository.commit({**FILES, "builder.toml": b'[image]\nbase = "scratch"\n', ".gitignore": b".builder/\n"})
    repository.check_out()
    monkeypatch.chdir(repository.directory)
    assert frame.run(["image"]) == 0
    return repository


def test_by_revision_and_by_reference(here: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert frame.run(["image"]) == 0
    reference = capsys.readouterr().out.strip()
    for words in ([], ["HEAD"], [reference], ["main", "--deep"], [reference, "-o", "json"]):
        assert frame.run(["verify", *words]) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    assert f"{reference.rpartition('@')[2]} is {here.text('rev-parse', 'HEAD')}" in out
    assert '"same": true' in out


def test_a_difference_is_exit_code_1(here: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    store = LayoutStore(here.directory / ".builder/images")
    (digest,) = store.manifests()
    stored = store.get_manifest(digest)
    assert stored is not None
    manifest = Manifest.from_bytes(stored.data)
    path = Path(store.directory, "blobs/sha256", manifest.layers[0].digest[7:])
    path.write_bytes(gzip.compress(b"rotten"))
    capsys.readouterr()
    assert frame.run(["verify", "--deep"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert manifest.layers[0].digest in said.err
    assert frame.run(["verify", "--deep", "-o", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["same"] is False


def test_no_image_says_how_to_make_one(here: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    here.commit({"new": b"1"})
    capsys.readouterr()
    assert frame.run(["verify", "main"]) == 1
    assert "builder image --commit REV" in capsys.readouterr().err


D = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "store", "ref"),
    [
        (f"r.example/x@{D}", "r.example/x", D),
        (f"r.example:5000/x:tag@{D}", "r.example:5000/x", D),
        (f"oci:/a/b@{D}", "oci:/a/b", D),
        ("r.example:5000/x/y:latest", "r.example:5000/x/y", "latest"),
        ("localhost/x:1.0", "localhost/x", "1.0"),
        ("oci:lay:tag", "oci:lay", "tag"),
        ("oci:lay", "", ""),
        ("HEAD~3", "", ""),
        ("origin/v1.0", "", ""),
        ("r.example:5000/x", "", ""),
        ("main@{2026-01-01 10:00}", "", ""),
    ],
)
def test_what_names_an_image_and_what_a_revision(text: str, store: str, ref: str) -> None:
    assert split_reference(text) == (store, ref)


def test_an_image_by_tag(repository: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    repository.commit({"builder.toml": b'[image]\nbase = "scratch"\n', "a": b"a"})
    repository.check_out()
    monkeypatch.chdir(repository.directory)
    sha = repository.git("rev-parse", "HEAD").decode().strip()
    assert frame.run(["image", "--to", "oci:lay"]) == 0
    assert frame.run(["verify", f"oci:lay:{sha}"]) == 0
    assert frame.run(["verify", "oci:lay:latest"]) == 1
    assert "has no image latest" in capsys.readouterr().err
