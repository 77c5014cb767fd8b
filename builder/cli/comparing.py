"""What `builder compare` prints, and how it runs what never ran."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from builder.cli import output
from builder.cli.showing_run import change_lines, changes_json
from builder.errors import BuilderError

if TYPE_CHECKING:
    from builder.cli.making import Maker
    from builder.cli.reading import Reader
    from builder.model.oci import Manifest
    from builder.runs.changes import Changes
    from builder.runs.comparing import Change, Layers, Row, Side, Summary


@dataclass(frozen=True, slots=True)
class Comparison:
    """`changes` has one for each side but the first, against the first."""

    flow: str
    sides: tuple[Side, ...]
    rows: tuple[Row, ...]
    layers: tuple[Layers | None, ...]
    changes: tuple[Changes, ...]


def compare_sides(reader: Reader, flow: str, sides: Sequence[Side]) -> Comparison:
    from builder.runs import changes
    from builder.runs.comparing import compare_layers, compare_scores, configuration_of

    manifests = [_manifest(reader, side) for side in sides]
    configs = [configuration_of(side) or _configuration_at(reader, flow, side.commit) for side in sides]
    known = [changes.Side(side.commit, config, manifest) for side, config, manifest in zip(sides, configs, manifests, strict=True)]
    found = tuple(changes.changes(known[0], other, reader.maybe_git, reader.settings) for other in known[1:])
    return Comparison(flow, tuple(sides), compare_scores(sides), compare_layers(manifests), found)


def _manifest(reader: Reader, side: Side) -> Manifest | None:
    """Of the image that the side's runs used; of a commit that never ran the one that its plain tag names."""
    from builder.runs.story import manifest_of

    return manifest_of(side.runs[0].reference, lambda: reader.store) if side.runs else manifest_of(side.commit, lambda: reader.store)


def _configuration_at(reader: Reader, flow: str, sha: str) -> Mapping[str, Any] | None:
    """What a run of the commit would have; None when it cannot be read."""
    from builder.runs.flows import parameters_of
    from builder.settings import at_commit

    try:
        commit = reader.git.resolve(sha)
        settings, _ = at_commit(reader.settings, lambda path: reader.git.read_path(commit, path), sha)
        return parameters_of(flow, settings.flow[flow], lambda path: reader.git.read_path(commit, path))
    except (BuilderError, KeyError):  # KeyError: it has no such flow
        return None


def run_missing(maker: Maker, flow: str, commits: Sequence[str], on: str) -> None:
    """Runs the flow at each commit, and waits: on Argo all at once, elsewhere one after the other."""
    from builder.cli.executing import execute
    from builder.cli.starting import Asked, Target, make_ready, prepare
    from builder.cluster.kubernetes import connect
    from builder.runs.prepare import Overrides

    deploy = maker.settings.deploy
    started = []
    for sha in dict.fromkeys(commits):
        prepared = prepare(maker, Asked(Target(flow, sha), Overrides(), on))
        output.note(f"{prepared.label} on {prepared.on}")
        cluster = connect(deploy.namespace, deploy.context) if prepared.on == "argo" else None
        ready = make_ready(maker, prepared)
        result = execute(maker, ready, cluster, wait=False if cluster else None)
        started.append((cluster, ready.request, result))
    for cluster, request, result in started:
        if cluster is not None:
            from builder.cli.following import Steps
            from builder.runs.argo import follow

            result = follow(cluster, request, Steps(request.run, here=False), lambda message: output.note(f"  {message}"))
        if result.state != "succeeded":
            output.warn(f"{request.run} {result.state}: builder show {request.run}")


def show_comparison(comparison: Comparison, form: str) -> None:
    if form == "json":
        output.document(as_json(comparison))
        return
    _scores(comparison)
    for side in comparison.sides:
        for line in _about(side):
            output.note(line)
    for side, layers, changes in zip(comparison.sides[1:], comparison.layers[1:], comparison.changes, strict=True):
        output.result("")
        for line in _against(comparison, side, layers, changes):
            output.result(line)
    missing = [side for side in comparison.sides if not side.runs]
    if missing:
        words = " ".join(side.commit[:12] if side in missing else side.runs[0].run for side in comparison.sides)
        output.note(f"next: builder compare {words} --run")


def _scores(comparison: Comparison) -> None:
    headers, right = ["METRIC"], []
    for index, side in enumerate(comparison.sides):
        headers += [side.label, *(["CHANGE" if len(comparison.sides) == 2 else f"CHANGE {index}"] if index else [])]
    right = headers[1:]
    output.table(_distinct(headers), [list(_cells(row)) for row in comparison.rows], right=_distinct(right))


def _distinct(headers: Sequence[str]) -> list[str]:
    """Somebody may compare a commit with itself."""
    seen: dict[str, int] = {}
    result = []
    for header in headers:
        seen[header] = seen.get(header, 0) + 1
        result.append(header if seen[header] == 1 else f"{header} ({seen[header]})")
    return result


def _cells(row: Row) -> Iterator[str]:
    yield row.metric
    for index, (summary, change) in enumerate(zip(row.sides, row.changes, strict=True)):
        yield value_words(summary)
        if index:
            yield change_words(change)


def value_words(summary: Summary | None) -> str:
    """`0.9100`; of several runs `0.9100 (n=3, 0.9000..0.9200)`."""
    if summary is None:
        return "-"
    several = f" (n={summary.count}, {summary.low:.4f}..{summary.high:.4f})" if summary.count > 1 else ""
    return f"{summary.mean:.4f}{several}"


def change_words(change: Change | None) -> str:
    """`+0.0100`; with `~` before it where runs of one side differ as much among themselves."""
    return "" if change is None else f"{'~' if change.within else ''}{change.amount:+.4f}"


def _about(side: Side) -> Iterator[str]:
    if not side.runs:
        yield f"{side.label} has no run that succeeded"
    elif side.left_out:
        yield f"{side.label}: {output.plural(side.left_out, 'run')} with another configuration or image left out; name a run to compare it"
    for seen in side.runs:
        if seen.state != "succeeded":
            yield f"{seen.run} is {seen.state}: its scores are what there is of them"


def _against(comparison: Comparison, side: Side, layers: Layers | None, changes: Changes) -> Iterator[str]:
    first = comparison.sides[0]
    yield f"{side.label} against {first.label}:"
    lines = [*change_lines(changes)]
    if not lines and not changes.unknown:
        lines = ["the same commit, configuration, base and dependencies"]
    if layers is not None and comparison.layers[0] is not None:
        new = f"{output.plural(layers.new, 'layer')} of {layers.count} new, {output.size(layers.new_size)} of {output.size(layers.size)}"
        lines.append(f"image: {new}")
    yield from (f"  {line}" for line in lines)
    for text in changes.unknown:
        output.warn(f"{side.label}: {text}")


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The documented form (docs/reference/json.md)."""
    changes = (None, *comparison.changes)
    together = zip(comparison.sides, comparison.layers, changes, strict=True)
    return {
        "flow": comparison.flow,
        "sides": [
            {
                "label": side.label,
                "commit": side.commit,
                "runs": [seen.run for seen in side.runs],
                "left_out": side.left_out,
                "layers": asdict(layers) if layers else None,
                "changes": changes_json(change) if change else None,
                "missing": list(change.unknown) if change else [],
            }
            for side, layers, change in together
        ],
        "scores": [
            {
                "metric": row.metric,
                "sides": [asdict(summary) if summary else None for summary in row.sides],
                "changes": [asdict(change) if change else None for change in row.changes],
            }
            for row in comparison.rows
        ],
    }
