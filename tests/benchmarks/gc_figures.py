"""What clean-up costs: `builder gc images` of ten thousand images, in a docker-registry and in a layout, killed in the middle."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import measure
import registry
from peers import git
from scenarios import Goal, Plan, Section

from builder.model.annotations import CREATED, DIFF_ID, INPUTS, KIND, REVISION, SHARD
from builder.model.oci import CONFIG, LAYER_GZIP, MANIFEST, Descriptor, Manifest, sha256
from builder.stores.layout_index import Index
from tests.fixtures.registry_disk import RegistryDisk
from tests.fixtures.registry_server import RegistryServer

IMAGES, SHARE = 10_000, 0.01
_LAYERS = 40
_NAME = "team/app"
_HOUR, _MINUTE = 3600.0, 60.0
_MB = 1_000_000

AddBlob = Callable[[bytes], str]
AddManifest = Callable[[bytes, tuple[str, ...]], str]


@dataclass(slots=True)
class Seen:
    """Of all runs together: `peaks` are each one's largest memory in bytes, `becomes` what it said of each image."""

    seconds: float = 0.0
    cpu: float = 0.0
    requests: int = 0
    peaks: list[int] = field(default_factory=list)
    runs: list[float] = field(default_factory=list)
    removed: int = 0


LAYOUT, REGISTRY, DOCKER = "a layout", "a registry", "docker-registry 2.8"


def section(plan: Plan, env: Mapping[str, str], images: int = IMAGES, places: Sequence[str] = (LAYOUT, REGISTRY, DOCKER)) -> Section:
    """Never more than once: it takes minutes."""
    rows, goals = [], []
    for where in places:
        kept = int(images * (_KEPT_THERE if where == DOCKER else SHARE))
        with tempfile.TemporaryDirectory(prefix="builder-bench-") as name:
            folder = Path(name)
            environ = {**env, "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
            commits = _repository(folder / "repository", kept)
            with _WAYS[where](folder, commits, images) as place:
                seen = _clean(plan, folder / "repository", place, environ)
                rows.append(_row(where, images, seen, place.cpu()))
        assert seen.removed == images - kept, f"{where}: {seen.removed} of {images - kept}"
        plan.log(f"gc of {images:,} images in {where}: {seen.seconds:.0f} s, {seen.removed:,} removed, {max(seen.peaks) / _MB:.0f} MB")
        goals += [
            Goal(f"minutes, {where}", seen.seconds / _MINUTE, _LIMIT, "{:.1f}"),
            Goal(f"peak memory, {where}", max(seen.peaks) / _MB, _LIMIT_MB, "{:.0f} MB"),
        ]
    return Section(f"Clean-up of {images:,} images", "\n".join([_TEXT, "", *_HEAD, *rows]), {}, goals)


_LIMIT, _LIMIT_MB = 30.0, 250.0
_KEPT_THERE = 0.95
_HEAD = (
    "| store | images | removed | minutes | CPU of gc | CPU of the server | requests | peak memory |",
    "|---|--:|--:|--:|--:|--:|--:|--:|",
)
_TEXT = (
    f"`builder gc images --keep-days 0 --unknown --yes` of images with {_LAYERS} layers and two tags each. What stays is of tagged "
    "commits. It is killed (kill -9) when half of what goes is gone, and run again. In a registry, which does not say how old images are, "
    "a run before notes what is not needed, and one after takes the few hundred that it was at when it was killed; the figures are of all "
    "of them together. *A registry* is one in Python that finds an image's tags at once, as Harbor and ECR do. docker-registry 2.8 reads "
    "every tag of the repository for each image that goes, so that fewer go there: to remove n of them costs it n times the tags."
)


def _row(where: str, images: int, seen: Seen, server: float) -> str:
    cells = [where, f"{images:,}", f"{seen.removed:,}", f"{seen.seconds / _MINUTE:.1f}", f"{seen.cpu:.0f} s"]
    rest = ["", ""] if where == LAYOUT else [f"{server:.0f} s", f"{seen.requests:,}"]
    return "| " + " | ".join([*cells, *rest, f"{max(seen.peaks) / _MB:.0f} MB"]) + " |"


def _clean(plan: Plan, repository: Path, place: Place, env: Mapping[str, str]) -> Seen:
    """Runs until everything is gone that goes; one of them is killed when half of that is."""
    (repository / "builder.toml").write_text(f'[image]\nbase = "scratch"\n[store]\nto = "{place.store}"\n')
    argv = [sys.executable, "-m", "builder", "gc", "images", "--keep-days", "0", "--unknown", "--yes", "-o", "json"]
    seen, before, had = Seen(), place.requests(), place.tags()
    staying = 2 * len(git(repository, "tag").split())
    if place.dateless:
        _run(seen, argv, repository, env)
        assert place.tags() == had, "nothing goes at once where ages are unknown"
        _make_older(repository)
    _run(seen, argv, repository, env, lambda: place.tags() < (had + staying) / 2)
    plan.log(f"killed when {had - place.tags():,} of {had - staying:,} tags were gone")
    _run(seen, argv, repository, env)
    if place.dateless:  # those that it was at when it was killed were young again
        _make_older(repository)
        _run(seen, argv, repository, env)
    seen.removed, seen.requests = (had - place.tags()) // 2, place.requests() - before
    return seen


def _run(seen: Seen, argv: Sequence[str], folder: Path, env: Mapping[str, str], enough: Callable[[], bool] | None = None) -> None:
    """`enough` says when it is to be killed."""
    with tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        process = subprocess.Popen(list(argv), cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err)
        if enough is not None:
            threading.Thread(target=_kill_when, args=(process, enough), daemon=True).start()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        err.seek(0)
        assert process.returncode in ((0, -signal.SIGKILL) if enough else (0,)), err.read()[-2000:].decode()
    seen.runs.append(time.perf_counter() - began)
    seen.seconds += seen.runs[-1]
    seen.cpu += used.ru_utime + used.ru_stime
    seen.peaks.append(used.ru_maxrss * 1024)


def _kill_when(process: subprocess.Popen[bytes], enough: Callable[[], bool]) -> None:
    """Looking must not be what takes the time."""
    while True:
        began = time.perf_counter()
        if enough():
            process.kill()
            return
        time.sleep(max(0.02, 10 * (time.perf_counter() - began)))


def _make_older(repository: Path) -> None:
    """Nothing has needed them for three hours: nobody waits for that here."""
    for path in (repository / ".builder").rglob("unneeded.json"):
        noted = json.loads(path.read_bytes())
        noted["since"] = {digest: when - 3 * _HOUR for digest, when in noted["since"].items()}
        path.write_text(json.dumps(noted))


# --- what is cleaned ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """`tags` counts those that are there, `cpu` seconds and `requests` of the server. `dateless`: it does not say how old an image is."""

    store: str
    tags: Callable[[], int]
    dateless: bool = False
    cpu: Callable[[], float] = lambda: 0.0
    requests: Callable[[], int] = lambda: 0


def _repository(folder: Path, commits: int) -> list[str]:
    """Commits with a tag each."""
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    who = "committer Ann <ann@example.com> 1700000000 +0000\ndata 0\n"
    lines = [
        f"commit refs/heads/main\n{who}M 644 inline file\ndata {len(str(n))}\n{n}\nreset refs/tags/v{n}\nfrom refs/heads/main\n"
        for n in range(commits)
    ]
    subprocess.run(["git", "fast-import", "--quiet"], input="\n".join(lines), text=True, cwd=folder, check=True)
    return git(folder, "rev-list", "main").split()


@contextlib.contextmanager
def _in_docker_registry(folder: Path, commits: list[str], images: int) -> Iterator[Place]:
    with registry.running(folder / "registry") as server:
        disk = RegistryDisk(folder / "registry/storage", _NAME)
        _images(commits, images, disk.add_blob, disk.add_manifest)
        tags = folder / "registry/storage/docker/registry/v2/repositories" / _NAME / "_manifests/tags"
        cpu, asked = partial(measure.cpu_of, [server.pid]), partial(server.requests_since, 0)
        yield Place(f"{server.host}/{_NAME}", lambda: sum(1 for _ in tags.iterdir()), dateless=True, cpu=cpu, requests=asked)


@contextlib.contextmanager
def _in_registry(folder: Path, commits: list[str], images: int) -> Iterator[Place]:
    """In a process of its own: what it keeps in memory would count as that of what is started from here."""
    (folder / "commits").write_text("\n".join(commits))
    argv = [sys.executable, __file__, "--serve", str(folder / "commits"), str(images)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        host, cpu = server.stdout.readline().strip(), measure.cpu_of([server.pid])
        lock = threading.Lock()

        def ask(what: str) -> int:
            with lock:
                print(what, file=server.stdin, flush=True)
                return int(server.stdout.readline())  # type: ignore[union-attr]

        try:
            used = partial(measure.cpu_of, [server.pid])
            yield Place(f"{host}/{_NAME}", partial(ask, "tags"), dateless=True, cpu=lambda: used() - cpu, requests=partial(ask, "requests"))
        finally:
            server.kill()


def _serve(commits: list[str], images: int) -> None:
    """Says where it listens, and then how many tags or requests there are, each time it is asked."""
    with RegistryServer() as server:
        _images(commits, images, partial(server.add_blob, _NAME), lambda data, tags: server.add_manifest(_NAME, data, MANIFEST, *tags))
        print(server.host, flush=True)
        for line in sys.stdin:
            print(len(server.requests) if line.strip() == "requests" else len(server.state.repo(_NAME).tags), flush=True)


@contextlib.contextmanager
def _in_layout(folder: Path, commits: list[str], images: int) -> Iterator[Place]:
    directory = folder / "layout"
    index, blobs = directory / "index.json", directory / "blobs/sha256"
    blobs.mkdir(parents=True)
    entries: list[dict[str, object]] = []

    def add_blob(data: bytes) -> str:
        path = blobs / sha256(data)[7:]
        path.write_bytes(data)
        os.utime(path, (time.time() - 3 * _HOUR,) * 2)
        return f"sha256:{path.name}"

    def add_manifest(data: bytes, tags: tuple[str, ...]) -> str:
        descriptor = Descriptor(MANIFEST, add_blob(data), len(data))
        entries.extend({**descriptor.to_json(), "annotations": {"org.opencontainers.image.ref.name": tag}} for tag in tags)
        return descriptor.digest

    _images(commits, images, add_blob, add_manifest)
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    index.write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    yield Place(f"oci:{directory}", lambda: len(Index.from_bytes(index.read_bytes(), index).tags))


_WAYS = {LAYOUT: _in_layout, REGISTRY: _in_registry, DOCKER: _in_docker_registry}


def _images(commits: list[str], images: int, add_blob: AddBlob, add_manifest: AddManifest) -> None:
    """As commits make them: each has two layers of its own, and the others of the one before. The last ones are of `commits`."""
    made = [_layer(add_blob, f"layer {number}") for number in range(_LAYERS)]
    for number in range(images):
        for own in (2 * number % _LAYERS, (2 * number + 1) % _LAYERS):
            made[own] = _layer(add_blob, f"layer {own} of image {number}")
        left = images - number
        sha = commits[left - 1] if left <= len(commits) else hashlib.sha1(f"{number}".encode(), usedforsecurity=False).hexdigest()
        inputs = hashlib.sha256(sha.encode()).hexdigest()[:16]
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Env": [f"BUILDER_COMMIT={sha}"]}}).encode()
        notes = {REVISION: sha, INPUTS: inputs, CREATED: "2023-11-14T22:13:20Z"}
        manifest = Manifest(Descriptor(CONFIG, add_blob(config), len(config)), tuple(made), notes)
        add_manifest(manifest.to_bytes(), (sha, f"{sha}-{inputs}"))


def _layer(add_blob: AddBlob, text: str) -> Descriptor:
    data = text.encode() * 10
    return Descriptor(LAYER_GZIP, add_blob(data), len(data), {KIND: "code", DIFF_ID: sha256(text.encode()), SHARD: sha256(data)[7:]})


def main(words: Sequence[str]) -> None:
    """These figures alone, on the terminal."""
    import report

    quick = Plan(1, time.monotonic() + 600, lambda text: print(text, file=sys.stderr, flush=True))
    found = section(quick, os.environ, int(words[0]) if words else IMAGES, words[1:] or (LAYOUT, REGISTRY, DOCKER))
    print(f"{found.title}\n{found.text}\n{report.summary([found])}")


if __name__ == "__main__":  # gc_figures.py [IMAGES [PLACE]...]
    if sys.argv[1:2] == ["--serve"]:
        _serve(Path(sys.argv[2]).read_text().split(), int(sys.argv[3]))
    else:
        main(sys.argv[1:])
