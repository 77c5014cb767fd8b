"""Hands what came of a run to MLflow: its resolved configuration, loss curve and scores, and which commit, image and run it was.

A run of ours is one run there, known by the tag `builder.run`: written again it is found, and what it has already is left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from builder.data.ledger import seconds_of
from builder.errors import TrackerError
from builder.model.run import Metric, RunResult, Training
from builder.steps.patience import aside
from builder.steps.request import Request
from builder.steps.root import ledger_of

_PATIENCE = 60.0  # seconds
_RUN = "builder.run"
_CLIENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # the client would speak to a server of its makers
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}
_BATCH, _METRICS, _LONGEST, _LONGEST_KEY = 100, 1000, 500, 250
"""Parameters and metrics that a server takes at once, characters of a parameter's value and of a name:
https://mlflow.org/docs/latest/api_reference/rest-api.html#log-batch
"""

Point = tuple[str, float, int, int]
"""Of a metric: name, value, time in milliseconds since 1970, step."""

INSTALL = "pip install 'anycommit[mlflow]'"


def track(request: Request, values: Mapping[Any, Any], training: Training, result: RunResult) -> tuple[str, str]:
    """The link to MLflow's run, empty while [tracker] is not set; and what went wrong, if something did. `values` is the configuration."""
    if not request.tracker.mlflow:
        return "", ""
    return aside(lambda: _track(request, values, training, result), _PATIENCE, "MLflow was not told")


def _track(request: Request, values: Mapping[Any, Any], training: Training, result: RunResult) -> str:
    server = _Server(request.tracker.mlflow.rstrip("/"))
    began = _began(request)
    try:
        experiment = server.experiment(request.tracker.experiment or request.flow)
        run = server.find(experiment, request.run) or server.create(experiment, request.run, began, _tags(request, result))
        if run.info.status != "FINISHED":
            server.log(run.info.run_id, _parameters(values), _metrics(training, result, began))
    except (server.error, OSError) as error:
        text = " ".join(str(error).split())[:300]
        raise TrackerError(f"{server.url}: {text}", "look at [tracker] in the settings") from error
    return f"{server.url}/#/experiments/{experiment}/runs/{run.info.run_id}"


class _Server:
    """MLflow's client, so far as it is needed. Its methods raise `error`."""

    def __init__(self, url: str) -> None:
        for name, value in _CLIENT.items():
            os.environ.setdefault(name, value)
        try:
            client: Any = import_module("mlflow.tracking").MlflowClient
            self._entities: Any = import_module("mlflow.entities")
            self.error: type[Exception] = import_module("mlflow.exceptions").MlflowException
        except ImportError as error:
            raise TrackerError("[tracker] mlflow is set, but its client is not installed here", INSTALL) from error
        self._client = client(tracking_uri=url)
        self.url = url

    def experiment(self, name: str) -> str:
        """The number of the experiment, which is made if there is none."""
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self._client.create_experiment(name))
            except self.error:
                found = self._client.get_experiment_by_name(name)  # somebody else was as quick
                if found is None:
                    raise
        return str(found.experiment_id)

    def find(self, experiment: str, run: str) -> Any:
        """The run of MLflow's that stands for one of ours; None when there is none."""
        found = self._client.search_runs([experiment], filter_string=f"tags.`{_RUN}` = '{run}'", max_results=1)
        return found[0] if found else None

    def create(self, experiment: str, run: str, began: int, tags: Mapping[str, str]) -> Any:
        return self._client.create_run(experiment, start_time=began, tags=dict(tags), run_name=run)

    def log(self, run: str, parameters: Mapping[str, str], metrics: Sequence[Point]) -> None:
        """Ends the run. What is written twice is there once: the same parameter, or metric at the same time and step."""
        listed = [self._entities.Param(name, value) for name, value in parameters.items()]
        for start in range(0, len(listed), _BATCH):
            self._client.log_batch(run, params=listed[start : start + _BATCH])
        points = [self._entities.Metric(*point) for point in metrics]
        for start in range(0, len(points), _METRICS):
            self._client.log_batch(run, metrics=points[start : start + _METRICS])
        self._client.set_terminated(run, "FINISHED")


def _tags(request: Request, result: RunResult) -> dict[str, str]:
    own = {"run": request.run, "flow": request.flow, "commit": request.commit, "digest": request.reference.rpartition("@")[2]}
    own |= {"reference": request.reference, "config": result.config, "identity": result.identity, "checkpoint": result.checkpoint}
    known = {"mlflow.source.git.commit": request.commit, "mlflow.source.name": request.flow, "mlflow.user": request.origin.who}
    tags = {**{f"builder.{name}": value for name, value in own.items()}, **known, "mlflow.note.content": request.subject}
    return {name: value for name, value in tags.items() if value}


def _parameters(values: Mapping[Any, Any]) -> dict[str, str]:
    return {_name(name): str(value)[:_LONGEST] for name, value in _flat(values)}


def _flat(values: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _name(text: str) -> str:
    """As MLflow takes them: letters, digits, `_`, `-`, `.`, spaces and slashes."""
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "_-. /") else "_" for letter in text)[:_LONGEST_KEY]


def _metrics(training: Training, result: RunResult, began: int) -> list[Point]:
    """The times are made up, so that another try gives the same."""
    curve = [("loss", metric.value, began + number, step) for number, (metric, step) in enumerate(_steps(training.losses))]
    scores = [(_name(f"score.{action}"), score, began, 0) for action, score in result.scores.items() if score is not None]
    return [*curve, *scores]


def _steps(losses: Sequence[Metric]) -> Iterator[tuple[Metric, int]]:
    """MLflow counts steps in whole numbers: where ours are none, the losses are counted."""
    whole = all(float(metric.step).is_integer() for metric in losses)
    for number, metric in enumerate(losses):
        yield metric, int(metric.step) if whole else number


def _began(request: Request) -> int:
    started = ledger_of(request).read(request.run).get("start", {}).get("started")
    return int(seconds_of(started) * 1000) if started else 0
