"""What Metaflow itself keeps of a run, read without Metaflow: which tasks ended and how, their logs, artifacts that are plain values.

`<flow>/<run>/<step>/<task>/<attempt>.{attempt.json,data.json,DONE.lock,task_stdout.log,...}`, `<flow>/data/<2 hex>/<sha>`: the same in a
directory and in S3, in every version of Metaflow since 2.2 (metaflow/datastore/task_datastore.py, content_addressed_store.py).
"""

from __future__ import annotations

import gzip
import io
import json
import pickle
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from builder.data.interface import Found, Objects
from builder.data.threads import in_threads

_ATTEMPT = re.compile(r"(\d+)\.(attempt\.json|DONE\.lock)\Z")
_STAMP = re.compile(rb"^\[MFLOG\|0\|[^\]]*\]", re.MULTILINE)
_LOGS = ("runtime", "task")
_NOT_PLAIN = (pickle.UnpicklingError, ValueError, EOFError, OSError, AttributeError, ImportError, IndexError, KeyError, TypeError)

Attempts = Mapping[tuple[str, str, int, str], Found]
"""By step, task, number of the attempt, and what of it was found."""


@dataclass(frozen=True, slots=True)
class Task:
    """The last attempt of a task. `state` is running, succeeded or failed; times are in seconds since 1970, `ended` None while it runs."""

    step: str
    name: str
    attempt: int
    state: str
    started: float
    ended: float | None = None


class MetaflowRun:
    """One run in Metaflow's datastore. `folder` is where that begins in `objects`; `flow` the class's name. Raises DataError."""

    def __init__(self, objects: Objects, folder: str, flow: str, run: str) -> None:
        self._objects = objects
        self._flow = "/".join(filter(None, (folder, flow)))
        self._run = f"{self._flow}/{run}/"
        self._ended: dict[str, bool] = {}

    def tasks(self) -> list[Task]:
        """In the order in which they began. Metaflow's own, which holds the parameters, is left out."""
        attempts = dict(self._attempts())
        last: dict[tuple[str, str], int] = {}
        for step, name, attempt, _ in attempts:
            last[step, name] = max(attempt, last.get((step, name), 0))
        tasks = in_threads(lambda at: self._task(*at[0], at[1], attempts), [*last.items()])
        return sorted(tasks, key=lambda task: (task.started, task.step, task.name))

    def _task(self, step: str, name: str, attempt: int, attempts: Attempts) -> Task:
        began, ended = (attempts.get((step, name, attempt, file)) for file in ("attempt.json", "DONE.lock"))
        started = next(found.modified for found in (began, ended) if found)
        if ended is None:
            return Task(step, name, attempt, "running", started)
        return Task(step, name, attempt, "succeeded" if self._is_ok(step, name, attempt) else "failed", started, ended.modified)

    def artifact(self, task: Task, name: str) -> Any:
        """A plain value: numbers, text, lists, dicts. None when there is no such artifact. Raises ValueError for anything else.

        An artifact is a pickle, and may be of any class of the team's: no code of it is run here.
        """
        sha = self._data(task).get(name)
        blob = self._objects.get(f"{self._flow}/data/{sha[:2]}/{sha}") if sha else None
        if blob is None:
            return None
        try:
            return _Plain(io.BytesIO(gzip.decompress(blob))).load()
        except _NOT_PLAIN as error:
            raise ValueError(f"artifact {name} of step {task.step} is no plain value: {error}") from error

    def log(self, task: Task, stream: str) -> bytes:
        """What the task wrote to `stdout` or `stderr`, without Metaflow's stamps."""
        keys = (f"{self._at(task)}.{source}_{stream}.log" for source in _LOGS)
        return b"".join(_STAMP.sub(b"", self._objects.get(key) or b"") for key in keys)

    def _attempts(self) -> Iterator[tuple[tuple[str, str, int, str], Found]]:
        for found in self._objects.list(self._run):
            step, _, rest = found.key.removeprefix(self._run).partition("/")
            name, _, file = rest.partition("/")
            match = _ATTEMPT.match(file)
            if match and not step.startswith("_"):
                yield (step, name, int(match[1]), match[2]), found

    def _is_ok(self, step: str, name: str, attempt: int) -> bool:
        """Whether an attempt that has ended did what it should: that never changes, and is asked once."""
        key = f"{step}/{name}/{attempt}"
        if key not in self._ended:
            self._ended[key] = self.artifact(Task(step, name, attempt, "", 0), "_task_ok") is True
        return self._ended[key]

    def _data(self, task: Task) -> Mapping[str, str]:
        raw = self._objects.get(f"{self._at(task)}.data.json")
        objects: Mapping[str, str] = json.loads(raw).get("objects") or {} if raw else {}
        return objects

    def _at(self, task: Task) -> str:
        return f"{self._run}{task.step}/{task.name}/{task.attempt}"


class _Plain(pickle.Unpickler):
    """Values that need no class."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it is a {module}.{name}")
