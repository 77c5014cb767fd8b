"""`make bench`: measures builder against Docker, BuildKit and crane, and writes docs/benchmarks.md.

    source <(tests/services/status --env)
    python tests/benchmarks/run.py [--quick] [--output FILE] [--repo DIR]

Needs docker-registry and git, and the servers of `tests/services/up docker buildkit base --size 2G`; a peer that is missing is
left out, and the page says so.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import ci_figures
import code_figures
import first_line
import gc_figures
import machine
import nightly_figures
import profiles
import queue_figures
import registry
import report
import scenarios
import slimming
import submission_figures
from peers import HERE, Bench, Crane, Way, find_peers, git
from scenarios import Line, Plan, Section

_PAGE = HERE.parents[1] / "docs/benchmarks.md"
_BEGAN = time.monotonic()
_MINUTES = {False: 12.0, True: 2.5}  # until rounds are cut short


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was made is cleaned up then too
    plan = Plan(3 if options.quick else 9, _BEGAN + 60 * _MINUTES[options.quick], _log)
    lines = [*machine.describe(os.environ), machine.load()]
    with _bench() as bench, _peers(bench) as peers:
        line = Line(bench)
        sections = _measure(bench, plan, line, peers, options.repo)
        found = _profiles(sections, bench.folder)
    notes = [
        f"measured in {(time.monotonic() - _BEGAN) / 60:.0f} minutes, {'3 rounds (--quick)' if options.quick else '9 rounds'}",
        *_absent(peers),
    ]
    options.output.write_text(report.page(lines, sections, found, notes))
    print(report.summary(sections))
    _log(f"written: {options.output}")


def _measure(bench: Bench, plan: Plan, line: Line, peers: list[Way], other: Path | None) -> list[Section]:
    crane = next((way for way in peers if isinstance(way, Crane)), None)
    steps = (
        ("one-file commit, warm", lambda: scenarios.one_file(bench, plan, line, peers)),
        ("one-file commit, cold", lambda: scenarios.cold(bench, plan, line)),
        ("nothing to do", lambda: scenarios.nothing(bench, plan, line)),
        ("first build", lambda: scenarios.first(bench, plan, line, crane)),
        ("--missing", lambda: scenarios.missing(bench, plan)),
        ("--help", lambda: scenarios.help_text(bench, plan)),
    )
    sections = []
    if (runs := first_line.section(plan, os.environ, 1 if plan.rounds < 9 else 3)) is not None:
        sections.append(runs)
    for name, step in steps:
        _log(name)
        sections.append(step())
    _log("new bytes per commit")
    sections.append(scenarios.sharding(bench, plan, other))
    _log("waiting")
    waiting = queue_figures.sections(plan, os.environ)
    submitted, brought = submission_figures.section(plan, os.environ), code_figures.section(plan, os.environ, bench.repository)
    _log("CI")
    ci = (ci_figures.job(bench, plan, os.environ), ci_figures.storage(bench, plan), nightly_figures.section(plan, os.environ))
    _log("clean-up")
    cleaned = gc_figures.section(plan, bench.env, 10_000 if plan.rounds == 9 else 1000)
    _log("slimming")
    slimmed = slimming.section(plan, bench.folder / "slimming", bench.env, quick=plan.rounds < 9)
    return [*sections, scenarios.memory(sections), *waiting, *filter(None, [submitted, brought, *ci]), cleaned, slimmed]


def _profiles(sections: list[Section], folder: Path) -> dict[str, str]:
    missed = [section for section in sections if section.profiled and not all(goal.reached for goal in section.goals)]
    found = {}
    for section in missed:
        _log(f"profile: {section.title}")
        found[section.title] = profiles.profile(section.profiled, folder)  # type: ignore[arg-type]
    return found


@contextlib.contextmanager
def _bench() -> Iterator[Bench]:
    """Everything that is measured on; gone at the end."""
    with tempfile.TemporaryDirectory(prefix="builder-bench-") as name, registry.running(Path(name) / "registry") as server:
        folder = Path(name)
        _base_name()
        _log("making the repository")  # in a process of its own: its memory would count as that of what is started from here
        subprocess.run([sys.executable, str(HERE / "repository.py"), str(folder / "repository")], check=True)
        git(folder / "repository", "config", "uploadpack.allowFilter", "true")
        git(folder / "repository", "config", "uploadpack.allowAnySHA1InWant", "true")
        commits = git(folder / "repository", "rev-list", "--first-parent", "--reverse", "HEAD").split()
        env = _environment(folder)
        base = _base(server.host, env)
        (folder / "builder.toml").write_text('[image]\npython = "3.11"\n')  # found from every clone in the folder: the base does not say it
        yield Bench(folder, folder / "repository", _tiny(folder / "tiny"), commits, server, base, env)


def _environment(folder: Path) -> dict[str, str]:
    """No one's cache, credentials or settings; but uv's cache, so that no package is downloaded in here twice.

    Python keeps bytecode, as it does for everyone who has not forbidden it: without, each start compiles every module anew.
    """
    (folder / "docker").mkdir()
    own = {"XDG_CACHE_HOME": folder / "cache", "DOCKER_CONFIG": folder / "docker", "PYTHONPYCACHEPREFIX": folder / "bytecode"}
    uv = os.environ.get("UV_CACHE_DIR") or str(Path.home() / ".cache/uv")
    env = {**os.environ, **{name: str(path) for name, path in own.items()}, "UV_CACHE_DIR": uv}
    return {name: value for name, value in env.items() if name not in ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")}


def _base(host: str, env: Mapping[str, str]) -> str:
    """Copies the padded base into the registry."""
    _log("copying the base into the benchmark's own registry")
    reference = _base_name()
    name, _, digest = reference.partition("@")
    target = f"{host}/{name.partition('/')[2]}"
    subprocess.run([env["BUILDER_TEST_CRANE"], "copy", reference, f"{target}:bench"], check=True, capture_output=True)
    return f"{target}@{digest}"


def _base_name() -> str:
    if os.environ.get("BUILDER_TEST_CRANE") and (reference := os.environ.get("BUILDER_TEST_BIG_BASE")):
        return reference
    sys.exit("no base: run `tests/services/up registry docker buildkit base --size 2G` and `source <(tests/services/status --env)`")


def _tiny(directory: Path) -> Path:
    directory.mkdir()
    git(directory, "init", "--quiet", "--initial-branch=main")
    (directory / "README.md").write_text("one file\n")
    git(directory, "add", ".")
    git(directory, "-c", "user.name=Ann", "-c", "user.email=ann@example.com", "commit", "--quiet", "--message", "One file")
    return directory


@contextlib.contextmanager
def _peers(bench: Bench) -> Iterator[list[Way]]:
    peers = find_peers(bench, _log)
    try:
        yield peers
    finally:
        for way in peers:
            if clean := getattr(way, "clean", None):
                clean()


def _absent(peers: list[Way]) -> list[str]:
    there = " ".join(way.name for way in peers)
    return [f"{name} was not there, and is in no table" for name in ("crane", "BuildKit, COPY", "Docker") if name not in there]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="3 rounds of each, in about 3 minutes")
    parser.add_argument("--output", type=Path, default=_PAGE, help="the page; default: docs/benchmarks.md")
    parser.add_argument("--repo", type=Path, help="a real repository: its history too is cut into layers, for the new bytes per commit")
    return parser.parse_args()


def _log(text: str) -> None:
    print(f"{time.monotonic() - _BEGAN:4.0f} s  {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
