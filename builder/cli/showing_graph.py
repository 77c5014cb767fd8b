"""What `builder show` prints of a revision, an image or a checkpoint: the graph commit - image - template - runs - checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, TypeVar

from builder.cli import output
from builder.errors import BuilderError, SourceError

if TYPE_CHECKING:
    from builder.cli.reading import Reader
    from builder.model.removed import Lost
    from builder.runs.graph import Graph
    from builder.runs.history import Seen
    from builder.runs.lookup import Meant

T = TypeVar("T")
_MOST, _LARGEST = 50, 10
"""How many runs of a commit, and of the files that it lost, are listed."""


def show_graph(reader: Reader, meant: Meant, form: str) -> None:
    graph = graph_of(reader, meant)
    if form == "json":
        output.document(as_json(graph, meant))
    else:
        _print(graph, meant)
    for text in graph.missing:
        output.warn(text)


def graph_of(reader: Reader, meant: Meant) -> Graph:
    """From whichever end: an image leads to its commit and what ran it, a checkpoint to the runs that made it."""
    from builder.runs.graph import Graph, makers_of
    from builder.runs.history import Filter

    missing: list[str] = []
    made = makers_of(reader.objects, meant.name) if meant.kind == "checkpoint" else ()
    sha = meant.name if meant.kind == "commit" else meant.commit or next((str(found["commit"]) for found in made), "")
    lost = _try(lambda: _lost(reader, sha), None, missing) if sha and meant.kind == "commit" else None
    was = lost.was if lost and lost.was != sha else ""
    runs = reader.runs(Filter(commit=sha, flow=meant.flow, was=was), _MOST) if sha else []
    if meant.kind == "checkpoint":
        runs = _of_checkpoint(reader, meant.name, runs, {str(found["run"]) for found in made})
    elif meant.kind == "image":
        runs = [seen for seen in runs if seen.reference.endswith(f"@{meant.name}")]
    graph = _filled(reader, Graph(sha, "", "", runs=tuple(runs), was=was, lost=lost.files if lost else ()), missing)
    return replace(_only(graph, meant), missing=tuple(missing))


def _lost(reader: Reader, sha: str) -> Lost | None:
    """None where git does not have the commit, or there is no repository."""
    from builder.cli.restoring import lost_of
    from builder.runs.prepare import data_of

    try:
        commit = reader.git.commit(sha)
    except SourceError:
        return None
    return lost_of(reader.git, commit, data_of(reader.settings))


def _of_checkpoint(reader: Reader, digest: str, runs: Sequence[Seen], made: set[str]) -> list[Seen]:
    """Those that made it or evaluated it, which may be of other commits, too."""
    from builder.runs.graph import checkpoints_in

    ours = [seen for seen in runs if any(found == digest for found, _, _ in checkpoints_in(seen.records))]
    others = [reader.run(name) for name in sorted(made - {seen.run for seen in ours})]
    return [*ours, *(seen for seen in others if seen)]


def _filled(reader: Reader, graph: Graph, missing: list[str]) -> Graph:
    from builder.runs.graph import checkpoints_of, images_of, templates_of

    commit = _try(lambda: reader.git.resolve(graph.commit), None, missing) if graph.commit else None
    digests = sorted({seen.reference.rpartition("@")[2] for seen in graph.runs if "@sha256:" in seen.reference})
    known = replace(graph, checkpoints=checkpoints_of(graph.runs))
    if graph.commit:
        known = replace(known, images=_try(lambda: images_of(reader.store, graph.commit, digests), known.images, missing))
    if graph.commit and uses_cluster(reader, graph):
        known = replace(known, templates=_try(lambda: templates_of(reader.cluster, graph.commit), known.templates, missing))
    return replace(known, subject=commit.subject, author=commit.author) if commit else known


def uses_cluster(reader: Reader, graph: Graph) -> bool:
    """Whether a team has anything in a cluster: others are not told that there is none."""
    settings = reader.settings
    said = any(settings.origin.get(table, "default") != "default" for table in ("deploy", "schedule"))
    return said or settings.run.on == "argo" or any(seen.on == "argo" for seen in graph.runs)


def _only(graph: Graph, meant: Meant) -> Graph:
    """Of an image or a checkpoint only what hangs together with it."""
    if meant.kind == "image":
        images = tuple(image for image in graph.images if image.digest == meant.name)
        return replace(graph, images=images, templates=tuple(node for node in graph.templates if node.digest == meant.name))
    if meant.kind == "checkpoint":
        digests = {seen.reference.rpartition("@")[2] for seen in graph.runs}
        nodes = tuple(node for node in graph.checkpoints if node.digest == meant.name)
        images = tuple(image for image in graph.images if image.digest in digests)
        templates = tuple(node for node in graph.templates if node.digest in digests)
        return replace(graph, checkpoints=nodes, images=images, templates=templates)
    return graph


def _try(work: Callable[[], T], otherwise: T, missing: list[str]) -> T:
    try:
        return work()
    except BuilderError as error:
        missing.append(error.message)
        return otherwise


def _print(graph: Graph, meant: Meant) -> None:
    output.result(f"commit {graph.commit} {graph.author}: {graph.subject}" if graph.subject else f"commit {graph.commit or 'unknown'}")
    for line in [*_before(graph), *_nodes(graph)]:
        output.result(line)
    if graph.runs:
        from builder.cli.status import show

        output.result("")
        show(graph.runs, "table")
    if graph.lost:
        output.note(f"to get back what it lost: builder data pull --commit {graph.commit[:12]}")
    if following := next_command(graph, meant):
        output.note(f"next: {following}")


def _before(graph: Graph) -> list[str]:
    """Its name before the history was slimmed, and what it lost then."""
    from builder.model.removed import size_of

    if not graph.was and not graph.lost:
        return []
    lines = [f"was {graph.was} before the history was slimmed"] if graph.was else []
    what = f"lost {output.plural(len(graph.lost), 'file')}, {output.size(size_of(graph.lost))}" if graph.lost else "lost nothing"
    largest = sorted(graph.lost, key=lambda file: -file.size)
    lines += [what, *(f"  {file.shown} {output.size(file.size)}" for file in largest[:_LARGEST])]
    return [*lines, f"  and {len(largest) - _LARGEST} more"] if len(largest) > _LARGEST else lines


def _nodes(graph: Graph) -> list[str]:
    lines = []
    for image in graph.images:
        tags = f", tagged {' '.join(tag.replace(graph.commit, graph.commit[:12]) for tag in image.tags)}" if image.tags else ""
        lines.append(f"image {image.reference}, {output.plural(image.layers, 'layer')}, {output.size(image.size)}{tags}")
    for node in graph.templates:
        schedules = f", started by {', '.join(node.schedules)}" if node.schedules else ""
        lines.append(f"template {node.name} runs {node.digest[7:19]}{schedules}")
    for checkpoint in graph.checkpoints:
        used = f", evaluated by {', '.join(checkpoint.used_by)}" if checkpoint.used_by else ""
        made = f", made by {', '.join(checkpoint.made_by)}" if checkpoint.made_by else ""
        lines.append(f"checkpoint {checkpoint.digest}, {output.size(checkpoint.size)}{made}{used}")
    return lines


def next_command(graph: Graph, meant: Meant) -> str:
    if graph.runs:
        return f"builder show {graph.runs[0].run}"
    flow = meant.flow or "finetune"
    return f"builder run {flow}@{graph.commit[:12]}" if graph.commit else ""


def as_json(graph: Graph, meant: Meant) -> dict[str, Any]:
    """The documented form (docs/reference/json.md)."""
    from builder.cli.data import as_json as lost_json
    from builder.cli.status import as_json as run_as_json

    return {
        "kind": meant.kind,
        "name": meant.name,
        "commit": graph.commit,
        "subject": graph.subject,
        "author": graph.author,
        "was": graph.was,
        "lost": [lost_json(file) for file in graph.lost],
        "images": [asdict(node) for node in graph.images],
        "templates": [asdict(node) for node in graph.templates],
        "runs": [run_as_json(seen) for seen in graph.runs],
        "checkpoints": [asdict(node) for node in graph.checkpoints],
        "next": next_command(graph, meant),
        "missing": list(graph.missing),
    }
