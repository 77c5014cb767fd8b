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

import registry
from peers import git
from scenarios import Goal, Plan, Section

from builder.model.annotations import CREATED, DIFF_ID, INPUTS, KIND, REVISION, SHARD
from builder.model.oci import CONFIG, LAYER_GZIP, MANIFEST, Descriptor, Manifest, sha256
from builder.stores.layout_index import Index
from tests.fixtures.registry_disk import RegistryDisk

IMAGES, KEPT = 10_000, 100
_LAYERS = 40
_NAME = "team/app"
_TITLE = "Clean-up of 10,000 images"
_HOUR, _MINUTE = 3600.0, 60.0
_MB = 1_000_000
_GOAL_MB = 400

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


def section(
    plan: Plan, env: Mapping[str, str], images: int = IMAGES, kept: int = KEPT, times: Sequence[str] = ("layout", "registry")
) -> Section:
    """Never more than once: it takes minutes."""
    rows, goals = [], []
    with tempfile.TemporaryDirectory(prefix="builder-bench-") as name:
        folder = Path(name)
        environ = {**env, "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
        commits = _repository(folder / "repository", kept)
        for where in times:
            with _WAYS[where](folder, commits, images) as (store, count, server, own):
                seen = _clean(plan, folder / "repository", store, environ, count, own)
                rows.append(_row(where, seen, server()))
            plan.log(f"gc of {images:,} images, {where}: {seen.seconds:.0f} s, {seen.removed:,} removed, {max(seen.peaks) / _MB:.0f} MB")
            goals += [
                Goal(f"minutes, {where}", seen.seconds / _MINUTE, _LIMITS[where], "{:.1f}"),
                Goal(f"peak memory, {where}", max(seen.peaks) / _MB, _GOAL_MB, "{:.0f} MB"),
            ]
            assert seen.removed == images - kept, f"{where}: {seen.removed} of {images - kept}"
    head = "| store | minutes | CPU of gc | CPU of the server | requests | peak memory | removed |\n|---|--:|--:|--:|--:|--:|--:|\n"
    text = (
        f"`builder gc images --keep-days 0 --yes` where {images:,} images of {_LAYERS} layers have two tags each, and {kept} are of "
        "tagged commits; it is killed in the middle (kill -9), and run again. In a registry, which does not say how old images are, a run "
        "before notes what is not needed, and one after takes the few hundred that it was at when it was killed. docker-registry "
        "2.8 reads every tag of the repository for each removal, and that takes most of the time there.\n\n" + head + "\n".join(rows)
    )
    return Section(_TITLE, text, {}, goals)


_LIMITS = {"layout": 5.0, "registry": 60.0}


def _row(where: str, seen: Seen, server: float) -> str:
    cells = [where, f"{seen.seconds / _MINUTE:.1f}", f"{seen.cpu:.0f} s", f"{server:.0f} s", f"{seen.requests:,}"]
    return "| " + " | ".join([*cells, f"{max(seen.peaks) / _MB:.0f} MB", f"{seen.removed:,}"]) + " |"


def _clean(plan: Plan, repository: Path, store: str, env: Mapping[str, str], count: Callable[[], int], own: Callable[[], int]) -> Seen:
    """Runs until everything is gone that goes; one of them is killed when half of the tags are gone."""
    (repository / "builder.toml").write_text(f'[image]\nbase = "scratch"\n[store]\nto = "{store}"\n')
    argv = [sys.executable, "-m", "builder", "gc", "images", "--keep-days", "0", "--yes", "-o", "json"]
    seen, before = Seen(), own()
    all_of_them = count()
    if not store.startswith("oci:"):
        _run(seen, argv, repository, env)
        assert count() == all_of_them, "nothing goes at once where ages are unknown"
        _make_older(repository)
    _run(seen, argv, repository, env, lambda: count() < all_of_them / 2)
    plan.log(f"killed when {all_of_them - count():,} of {all_of_them:,} tags were gone")
    _run(seen, argv, repository, env)
    if not store.startswith("oci:"):  # those that it was at when it was killed were young again
        _make_older(repository)
        _run(seen, argv, repository, env)
    seen.removed, seen.requests = (all_of_them - count()) // 2, own() - before
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
    while not enough():
        time.sleep(1)
    process.kill()


def _make_older(repository: Path) -> None:
    """Nothing has needed them for three hours: nobody waits for that here."""
    for path in (repository / ".builder").rglob("unneeded.json"):
        noted = json.loads(path.read_bytes())
        noted["since"] = {digest: when - 3 * _HOUR for digest, when in noted["since"].items()}
        path.write_text(json.dumps(noted))


# --- what is cleaned ------------------------------------------------------------------------------------------------------------------


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
def _in_registry(
    folder: Path, commits: list[str], images: int
) -> Iterator[tuple[str, Callable[[], int], Callable[[], float], Callable[[], int]]]:
    """The store; how many tags it has; CPU seconds and requests of its server."""
    import measure

    with registry.running(folder / "registry") as server:
        disk = RegistryDisk(folder / "registry/storage", _NAME)
        _images(commits, images, disk.add_blob, lambda data, tags: disk.add_manifest(data, tags))
        tags = folder / "registry/storage/docker/registry/v2/repositories" / _NAME / "_manifests/tags"
        cpu, asked = partial(measure.cpu_of, [server.pid]), partial(server.requests_since, 0)
        yield f"{server.host}/{_NAME}", lambda: sum(1 for _ in tags.iterdir()), cpu, asked


@contextlib.contextmanager
def _in_layout(
    folder: Path, commits: list[str], images: int
) -> Iterator[tuple[str, Callable[[], int], Callable[[], float], Callable[[], int]]]:
    place = folder / "layout"
    blobs = place / "blobs/sha256"
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
    (place / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    (place / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    index = place / "index.json"
    yield f"oci:{place}", lambda: len(Index.from_bytes(index.read_bytes(), index).tags), lambda: 0.0, lambda: 0


_WAYS = {"layout": _in_layout, "registry": _in_registry}


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


if __name__ == "__main__":  # these figures alone, on the terminal: gc_figures.py [IMAGES [layout|registry]...]
    import report

    quick = Plan(1, time.monotonic() + 600, lambda text: print(text, file=sys.stderr, flush=True))
    found = section(quick, os.environ, int((sys.argv[1:] or [str(IMAGES)])[0]), times=sys.argv[2:] or ("layout", "registry"))
    print(f"{found.title}\n{found.text}\n{report.summary([found])}")
