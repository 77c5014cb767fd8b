"""Images of a store: what tips without an image need, ages that only the data root knows, the order in which things go, and memory."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from builder.cache import Cache
from builder.collect.images import Collector
from builder.collect.manifests import Inventory, take_inventory
from builder.collect.needs import Needs
from builder.collect.reach import Ages, reach
from builder.collect.scene import Scene
from builder.collect.strangers import known_commits
from builder.collect.things import Done, Verdict
from builder.data.directory import DirectoryObjects
from builder.data.ledger import Ledger
from builder.errors import CannotDeleteError, DataError, StoreError
from builder.image.deps import Artifacts
from builder.image.prepare import Workshop
from builder.model.annotations import INPUTS, KIND, REVISION, SOURCE
from builder.model.oci import CONFIG, LAYER_GZIP, MANIFEST, Descriptor, Manifest, StoredManifest, canonical_json, sha256
from builder.settings import Settings, load
from builder.source.repository import Git
from builder.stores.interface import Held
from tests.fixtures.images import put, put_base
from tests.fixtures.memory_store import MemoryStore
from tests.fixtures.repositories import Repository, an_empty_repository, at_nobodys_home, clone  # noqa: F401

DAY = 86400.0
LOCK = b"a==1 --hash=sha256:" + b"0" * 64 + b"\n"


class Place:
    """A repository, a store that knows no ages, and what is decided there."""

    def __init__(self, repository: Repository, tmp_path: Path) -> None:
        self.repository = repository
        self.store = MemoryStore("127.0.0.1:5000/team/app")
        self.objects = DirectoryObjects(tmp_path / "data")
        self.cache = Cache(tmp_path / "cache")
        self.unknown = True  # most commits here are made up

    def put(self, tag: str, *layers: Descriptor, commit: str = "", subject: str = "", source: str = "") -> str:
        notes = {INPUTS: "0" * 16, REVISION: commit, **({SOURCE: source} if source else {})} if commit else {}
        config = put(self.store, canonical_json({"of": tag}), CONFIG)
        raw = json.loads(Manifest(config, layers, notes).to_bytes())
        if subject:
            raw["subject"] = {"mediaType": MANIFEST, "digest": subject, "size": 1}
        digest = self.store.put_manifest(canonical_json(raw), MANIFEST, (tag,) if tag else ())
        self.store.pushed[digest] = None
        return digest

    def layer(self, name: str, kind: str = "deps") -> Descriptor:
        blob = put(self.store, name.encode())
        return Descriptor(blob.media_type, blob.digest, blob.size, {KIND: kind})

    def image(self, commit: str, *layers: Descriptor, source: str = "") -> str:
        return self.put(f"{commit}-{'0' * 16}", *layers, self.layer(f"code of {commit}", "code"), commit=commit, source=source)

    def scene(self, git: Git, *, dry: bool = False) -> Scene:
        settings: Settings = load(self.repository.directory, {})
        workshop = Workshop(self.store, Artifacts(self.store), self.cache, lambda name: self.store)
        ledger = Ledger(self.objects)
        return Scene(settings, git, self.store, self.objects, ledger, _no_cluster, 0, 0, workshop, dry, unknown=self.unknown)

    def long_ago(self) -> None:
        """What is unneeded now is so for forty days."""
        since = {digest: time.time() - 40 * DAY for digest in self.store.manifests}
        document = {"schema": 1, "store": self.store.name, "since": since}
        self.objects.put(f"gc/{sha256(self.store.name.encode())[7:23]}/unneeded.json", json.dumps(document).encode())

    def since(self) -> dict[str, float]:
        found = [self.objects.get(found.key) for found in self.objects.list("gc/")]
        return dict(json.loads(found[0] or b"")["since"]) if found else {}


def _no_cluster(context: str, namespace: str) -> object:
    pytest.fail("nothing says that there is a cluster")


@pytest.fixture
def place(repository: Repository, tmp_path: Path) -> Place:
    return Place(repository, tmp_path)


def plan(place: Place, *, dry: bool = False) -> tuple[Collector, list[Verdict]]:
    with Git.open(place.repository.directory) as git:
        collector = Collector(place.scene(git, dry=dry))
        return collector, list(collector.plan())


def collect(place: Place) -> list[Done]:
    with Git.open(place.repository.directory) as git:
        collector = Collector(place.scene(git))
        return list(collector.remove([verdict for verdict in collector.plan() if verdict.goes]))


def kept(place: Place) -> dict[str, str]:
    """Digest to why."""
    return {verdict.thing.name: verdict.why for verdict in plan(place, dry=True)[1] if not verdict.goes}


# --- what tips need -------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def on_a_base(place: Place) -> dict[str, str]:
    """A tip whose settings name a base and a lock; the base, and deps and tools of it and of others, are in the store."""
    from builder.image.deps.key import lock_key
    from builder.image.tool import tool_key

    base = put_base(place.store, b"base", env=("PYTHON_VERSION=3.11.4",), tag="")
    place.store.tags[f"base-{base[7:19]}"] = base
    other = put_base(place.store, b"other", tag="")
    place.store.tags[f"base-{other[7:19]}"] = other
    toml = f'[image]\nbase = "{place.store.name}@{base}"\npython = "3.11"\n[image.deps]\nlock = "lock.txt"\n'
    place.repository.commit({"builder.toml": toml.encode(), "lock.txt": LOCK})
    place.repository.check_out()
    found = {"base": base, "other base": other}
    found["deps"] = place.put(f"deps-{lock_key(LOCK, [], '3.11', 'linux/amd64')}", place.layer("deps"))
    found["other deps"] = place.put(f"deps-{'1' * 32}", place.layer("other deps"))
    found["tool"] = place.put(f"tool-{tool_key('3.11', 'linux/amd64')}", place.layer("tool", "tool"))
    found["other tool"] = place.put(f"tool-{'2' * 32}", place.layer("other tool", "tool"))
    place.store.pushed = dict.fromkeys(place.store.manifests)
    place.long_ago()
    return found


def test_a_tip_without_an_image_keeps_what_it_will_be_made_of(place: Place, on_a_base: dict[str, str]) -> None:
    stays = kept(place)
    assert {name for name, digest in on_a_base.items() if digest in stays} == {"base", "deps", "tool"}
    assert stays[on_a_base["deps"]] == "branch main here needs it"


def test_a_tip_that_nobody_here_knows_keeps_all_of_them(place: Place, on_a_base: dict[str, str], tmp_path: Path) -> None:
    other = clone(place.repository, tmp_path / "other")
    other.git("config", "core.bare", "true")
    other.git("update-ref", "refs/heads/theirs", other.commit_tree(other.text("rev-parse", "HEAD^{tree}"), other.text("rev-parse", "HEAD")))
    place.repository.git("remote", "add", "origin", str(other.directory))
    stays = kept(place)
    assert set(on_a_base.values()) <= set(stays)
    assert "which has no image: nobody here knows what it will be made of" in stays[on_a_base["other deps"]]


def test_a_tip_whose_settings_no_image_can_be_made_of_keeps_none(place: Place, on_a_base: dict[str, str]) -> None:
    broken = place.repository.commit({"builder.toml": b'[image]\nbase = "no/digest"\nworkdir = "relative"\n'}, branch="broken")
    assert broken
    stays = kept(place)
    assert {name for name, digest in on_a_base.items() if digest in stays} == {"base", "deps", "tool"}


# --- ages -----------------------------------------------------------------------------------------------------------------------------


def test_what_is_noted_is_kept_until_it_is_old_and_forgotten_before_it_goes(place: Place) -> None:
    place.repository.commit({"a": b"1"})
    old, held = place.image("1" * 40), place.image(place.repository.text("rev-parse", "main"))
    assert plan(place, dry=True)[1]
    assert place.since() == {}  # a dry run writes nothing
    collector, verdicts = plan(place)
    assert not any(verdict.goes for verdict in verdicts)
    assert list(place.since()) == [old]
    assert any("does not say how old they are" in line for line in collector.remarks())
    place.long_ago()
    noted: list[dict[str, float]] = []
    remove = place.store.remove

    def watched(digests: Iterable[str]) -> Iterator[tuple[str, str]]:
        noted.append(place.since())
        return remove(digests)

    place.store.remove = watched  # type: ignore[method-assign]
    assert [done.became for done in collect(place)] == ["removed"]
    assert noted == [{}]
    assert set(place.store.manifests) == {held}
    place.image("1" * 40)  # it comes back: its age begins anew
    assert not any(verdict.goes for verdict in plan(place)[1])


def test_what_is_needed_in_between_begins_anew(place: Place) -> None:
    place.repository.commit({"a": b"1"})
    sha = "1" * 40
    digest = place.image(sha)
    plan(place)
    place.long_ago()
    place.objects.put(f"bundles/{sha}", b"x")
    plan(place)
    assert place.since() == {}
    place.objects.delete([f"bundles/{sha}"])
    assert not any(verdict.goes for verdict in plan(place)[1])
    assert list(place.since()) == [digest]


def test_notes_that_cannot_be_read_stop_it(place: Place) -> None:
    place.repository.commit({"a": b"1"})
    place.image("1" * 40)
    plan(place)
    (found,) = place.objects.list("gc/")
    for damaged in (b"{", b"[]", b'{"schema": 2, "since": {}}', b'{"schema": 1, "since": {"a": "x"}}'):
        place.objects.put(found.key, damaged)
        with pytest.raises(DataError, match=r"unneeded\.json cannot be read"):
            plan(place)


# --- whose they are -------------------------------------------------------------------------------------------------------------------

OURS, THEIRS = "https://git.example.com/ours", "https://git.example.com/theirs"


@pytest.fixture
def shared(place: Place) -> dict[str, str]:
    """A store with images of an old commit here, and of commits that this clone lacks: whose they are is told by their source alone."""
    old, _ = place.repository.history({"a": b"1"}, {"builder.toml": f'[image]\nbase = "scratch"\nsource = "{OURS}"\n'.encode()})
    place.repository.check_out()
    deps = place.layer("their deps")
    found = {"old": place.image(old), "theirs": place.image("1" * 40, deps, source=THEIRS), "nobody's": place.image("2" * 40)}
    found |= {"force-pushed": place.image("3" * 40, source=OURS), "their deps": place.put(f"deps-{'1' * 32}", deps)}
    place.long_ago()
    place.unknown = False
    return found


def test_images_of_commits_that_nobody_here_knows_stay_unless_they_are_ours(place: Place, shared: dict[str, str]) -> None:
    collector, verdicts = plan(place)
    stays = {verdict.thing.name: verdict.why for verdict in verdicts if not verdict.goes}
    assert {name for name, digest in shared.items() if digest in stays} == {"theirs", "nobody's", "their deps"}
    assert stays[shared["theirs"]] == f"this clone does not know the commit {'1' * 12}"
    assert any(line.startswith("2 images are of commits that this clone does not know") for line in collector.remarks())
    collect(place)
    assert set(place.store.manifests) == {shared[name] for name in ("theirs", "nobody's", "their deps")}


def test_they_go_when_that_is_asked_for(place: Place, shared: dict[str, str]) -> None:
    place.unknown = True
    collector, verdicts = plan(place)
    assert all(verdict.goes for verdict in verdicts)
    assert not any("does not know" in line for line in collector.remarks())


def test_without_a_source_of_ours_no_source_makes_one_ours(place: Place, shared: dict[str, str]) -> None:
    place.repository.commit({"builder.toml": b'[image]\nbase = "scratch"\n'})
    place.repository.check_out()
    assert {name for name, digest in shared.items() if digest not in kept(place)} == {"old"}


@pytest.mark.parametrize(("options", "known"), [((), 3), (("--filter=blob:none",), 3), (("--depth=1", "--filter=blob:none"), 1)])
def test_what_a_clone_lacks_it_does_not_know_and_does_not_fetch(place: Place, tmp_path: Path, options: tuple[str, ...], known: int) -> None:
    """Also where a remote would give it: a partial clone asks for each object that it lacks."""
    shas = place.repository.history({"a": b"1"}, {"a": b"2"}, {"a": b"3"})
    away = place.repository.history({"a": b"4"}, branch="away")
    cloned = clone(place.repository, tmp_path / "cloned", *options, "--single-branch", "--branch=main")
    before = cloned.text("count-objects", "-v")
    with Git.open(cloned.directory) as git:
        assert known_commits(git, {*shas, *away, "1" * 40, "", "HEAD", "--all"}) == set(shas[-known:])
    assert cloned.text("count-objects", "-v") == before


# --- how it goes ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lists", [True, False])
def test_what_names_others_goes_first(place: Place, lists: bool) -> None:
    place.repository.commit({"a": b"1"})
    deps = place.layer("deps")
    below = place.put(f"deps-{'1' * 32}", deps)
    image = place.image("1" * 40, deps)
    signature = place.put("", place.layer("signature"), subject=image)
    on_that = place.put("", place.layer("signature of that"), subject=signature)
    place.long_ago()
    place.store.lists_untagged = lists  # a plain registry does not
    gone: list[str] = []
    remove = place.store.remove
    place.store.remove = lambda digests: remove(gone.append(one) or one for one in digests)  # type: ignore[method-assign, func-returns-value]
    collect(place)
    assert gone.index(image) < gone.index(below)
    assert gone.index(on_that) < gone.index(signature) < gone.index(image)
    assert set(gone) == {below, image, signature, on_that}
    assert place.store.manifests == {}


def test_a_registry_that_deletes_nothing_says_so(place: Place) -> None:
    place.repository.commit({"a": b"1"})
    place.image("1" * 40)
    place.long_ago()

    def refuse(digests: Iterable[str]) -> Iterator[tuple[str, str]]:
        raise CannotDeleteError("deletion is off")

    place.store.remove = refuse  # type: ignore[method-assign]
    with pytest.raises(CannotDeleteError):
        collect(place)


def test_one_that_is_refused_is_told_and_stops_nothing(place: Place) -> None:
    place.repository.commit({"a": b"1"})
    digests = [place.image(str(number) * 40) for number in range(1, 4)]
    place.long_ago()
    place.store.remove = lambda those: ((one, "refused: it is immutable" if one == digests[0] else "removed") for one in those)  # type: ignore[method-assign, assignment]
    done = {one.verdict.thing.name: (one.became, one.error) for one in collect(place)}
    assert done == {digests[0]: ("failed", "it is immutable"), digests[1]: ("removed", ""), digests[2]: ("removed", "")}


def test_a_store_that_cannot_be_read_whole_stops_it(place: Place) -> None:
    place.repository.commit({"a": b"1"})
    place.image("1" * 40)
    get = place.store.get_manifest

    def fails(ref: str) -> StoredManifest | None:
        if ref.startswith("sha256:"):
            raise StoreError("no answer")
        return get(ref)

    place.store.get_manifest = fails  # type: ignore[method-assign]
    with pytest.raises(StoreError):
        plan(place)


# --- hostile manifests, and many ------------------------------------------------------------------------------------------------------


def test_what_is_attached_in_a_circle_ends(place: Place) -> None:
    place.repository.commit({"a": b"1"})
    digests = ["sha256:" + "1" * 64, "sha256:" + "2" * 64]
    for mine, other in (digests, digests[::-1]):
        subject = {"mediaType": MANIFEST, "digest": other, "size": 1}
        data = canonical_json({"schemaVersion": 2, "config": {}, "layers": [], "subject": subject})
        place.store.manifests[mine] = StoredManifest(data, MANIFEST, mine)
    place.long_ago()
    assert {done.verdict.thing.name for done in collect(place)} == set(digests)


@pytest.mark.parametrize(
    "raw",
    [
        {"layers": "x", "config": 1, "subject": [], "annotations": 7},
        {"manifests": [1, {"digest": 3}, {"digest": "sha256:zz"}]},
        {"layers": [{"digest": "sha256:" + "a" * 64, "size": -1}], "config": {"digest": "sha256:" + "b" * 64, "size": "big"}},
        {"layers": [], "config": {}, "annotations": {INPUTS: "x"}},
        {"layers": [{"annotations": 5}], "annotations": {INPUTS: 1, REVISION: 5}},
    ],
)
def test_manifests_of_others_are_left_alone(place: Place, raw: dict[str, object]) -> None:
    data = canonical_json({"schemaVersion": 2, **raw})
    digest = sha256(data)
    place.store.manifests[digest] = StoredManifest(data, MANIFEST, digest)
    place.store.tags["deps-of-somebody"] = digest
    place.repository.commit({"a": b"1"})
    place.long_ago()
    assert kept(place)[digest] == "builder did not make it"


class Many:
    """A store with so many images of fifty layers, half of them shared, that makes their manifests as they are asked for."""

    def __init__(self, count: int) -> None:
        self.name = "many"
        self._numbers = {sha256(str(number).encode()): number for number in range(count)}

    def held(self) -> Iterator[Held]:
        for digest, number in self._numbers.items():
            yield Held(digest, (f"{number:040x}",), None)

    def get_manifest(self, ref: str) -> StoredManifest:
        number = self._numbers[ref]
        names = [f"base {n}" for n in range(25)] + [f"code {n} {number // (n + 1)}" for n in range(25)]
        layers = tuple(Descriptor(LAYER_GZIP, sha256(name.encode()), 100, {KIND: "code", "title": "x" * 200}) for name in names)
        config = Descriptor(CONFIG, sha256(f"config {number}".encode()), 100)
        return StoredManifest(Manifest(config, layers, {INPUTS: "0" * 16, REVISION: f"{number:040x}"}).to_bytes(), MANIFEST, ref)


def inventory_of(count: int) -> tuple[Inventory, int]:
    """And the bytes that it takes."""
    store = Many(count)
    tracemalloc.start()
    found = take_inventory(store)  # type: ignore[arg-type]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return found, size


def test_a_manifest_takes_a_few_kilobytes(place: Place) -> None:
    inventory, few = inventory_of(50)
    assert len(inventory.facts) == 50
    _, many = inventory_of(250)
    assert (many - few) / 200 < 6000  # its own text has 20,000


def test_all_of_them_are_reached_by_one_walk() -> None:
    inventory, _ = inventory_of(90)
    needs = Needs()
    for number in range(0, 90, 3):
        needs.commit(f"{number:040x}", "tips", "a tip")
    since = dict.fromkeys(inventory.facts, 0.0)
    reached = reach(inventory, needs, Ages(100 * DAY, 99 * DAY, since))
    assert (len(reached.kept), len(reached.going)) == (30, 60)
