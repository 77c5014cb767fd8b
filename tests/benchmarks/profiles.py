"""Where the time of one `builder` goes: imports, functions, and the git processes it starts. Short, and without this machine's paths."""

from __future__ import annotations

import json
import pstats
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import measure

_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")
_TOP = 10

Again = Callable[[], tuple[list[str], Mapping[str, str]]]
"""Gives the arguments and environment of one more execution that has the same work to do."""


_PROFILED = """\
import cProfile, sys
profile = cProfile.Profile()
profile.enable()
from builder.cli.frame import run  # what `builder` runs; the command itself leaves without telling a profiler
run(sys.argv[2:])
profile.disable()
profile.dump_stats(sys.argv[1])
"""


def profile(again: Again, folder: Path) -> str:
    """Three executions: one for each look. Markdown."""
    parts = [
        ("imports, by package (self time)", _imports),
        ("functions (self time, main thread, slowed by the profiler)", _functions),
        ("git processes, from start to end (a reader waits to be asked)", _git),
    ]
    looks = [f"{title}:\n\n```\n{look(again, folder)}\n```" for title, look in parts]
    return "\n\n".join(looks)


def _imports(again: Again, folder: Path) -> str:
    argv, env = again()
    script = f'exec {sys.executable} -X importtime -m builder "$@" 2>{folder / "imports"}'
    measure.run(["bash", "-c", script, "builder", *argv], env=env)
    spent: Counter[str] = Counter()
    for line in (folder / "imports").read_text().splitlines():
        if found := _IMPORT.match(line):
            spent[_package(found[2])] += int(found[1])
    lines = [f"{microseconds / 1000:7.1f} ms  {name}" for name, microseconds in spent.most_common(_TOP)]
    return "\n".join([*lines, f"{spent.total() / 1000:7.1f} ms  all"])


def _package(module: str) -> str:
    top = module.partition(".")[0]
    return ".".join(module.split(".")[:2]) if top == "builder" else top if top not in sys.stdlib_module_names else "the standard library"


def _functions(again: Again, folder: Path) -> str:
    argv, env = again()
    measure.run([sys.executable, "-c", _PROFILED, str(folder / "profile"), *argv], env=env)
    stats = pstats.Stats(str(folder / "profile")).stats  # type: ignore[attr-defined]
    ordered = sorted(stats.items(), key=lambda item: -item[1][2])[:_TOP]
    return "\n".join(f"{own * 1000:7.1f} ms {calls:6d} x  {_where(*key)}" for key, (_, calls, own, _, _) in ordered)


def _where(file: str, line: int, function: str) -> str:
    short = "/".join(Path(file).parts[-2:]) if "/" in file else ""
    return f"{short}:{line} {function}" if short else re.sub(r" object at 0x\w+", "", function)


def _git(again: Again, folder: Path) -> str:
    """From git's own trace: https://git-scm.com/docs/api-trace2"""
    argv, env = again()
    trace = folder / "trace"
    trace.unlink(missing_ok=True)
    measure.run([sys.executable, "-m", "builder", *argv], env={**env, "GIT_TRACE2_EVENT": str(trace)})
    started: dict[str, str] = {}
    lines = []
    for event in map(json.loads, trace.read_text().splitlines() if trace.exists() else ()):
        if event["event"] == "start":
            started[event["sid"]] = " ".join(word for word in event["argv"] if "/" not in word)[:60]
        elif event["event"] == "exit":
            lines.append(f"{event['t_abs'] * 1000:7.1f} ms  {started.get(event['sid'], '')}")
    return "\n".join(lines) or "none"
