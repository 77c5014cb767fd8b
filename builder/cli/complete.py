"""What the shell offers after a tab. Never an error: a completion that fails offers nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from builder.cli.commands import BUILT_IN_FLOWS
from builder.errors import BuilderError

if TYPE_CHECKING:
    from builder.cli.reading import Reader
    from builder.runs.history import Seen

REVISION_WORDS = {
    "green": "the last nightly that passed",
    "live": "what the nightly uses",
    "last": "your last run",
}
"""Of a flow: what git knows nothing of."""

_RUNS = 40


def words(lines: Mapping[str, str], incomplete: str) -> list[CompletionItem]:
    """Those words that begin so, each with its line of help."""
    return [CompletionItem(word, help=line) for word, line in lines.items() if word.startswith(incomplete)]


def flow_at_revision(ctx: click.Context, param: click.Parameter | None, incomplete: str) -> list[CompletionItem]:
    """`FLOW@`, and after the `@` revisions."""
    flow, at, typed = incomplete.partition("@")
    if not at:
        return words(dict.fromkeys((f"{name}@" for name in flows()), "flow"), incomplete)
    offered = [*words(REVISION_WORDS, typed), *revision(ctx, param, typed)]
    return [CompletionItem(f"{flow}@{item.value}", help=item.help) for item in offered]


def flow(ctx: click.Context, param: click.Parameter | None, incomplete: str) -> list[CompletionItem]:
    return words(dict.fromkeys(flows(), "flow"), incomplete)


def run(ctx: click.Context, param: click.Parameter | None, incomplete: str) -> list[CompletionItem]:
    """The last runs, each with how it stands by the ledger."""
    from builder.cli.reading import reading
    from builder.runs.history import Filter, runs_of

    try:
        with reading() as reader:
            runs = runs_of(reader.ledger, Filter(), _RUNS)
    except (BuilderError, OSError):
        return []
    return words({seen.run: f"{seen.state} {seen.subject}" for seen in runs}, incomplete)


def step(ctx: click.Context, param: click.Parameter | None, incomplete: str) -> list[CompletionItem]:
    """The steps of the run that was typed before."""
    from builder.cli.reading import reading

    try:
        with reading() as reader:
            seen = reader.run(str(ctx.params.get("run") or ""))
            known = steps_of(reader, seen) if seen else []
    except (BuilderError, OSError):
        return []
    return words(dict.fromkeys(known, ""), incomplete)


def steps_of(reader: Reader, seen: Seen) -> list[str]:
    """In their order; of a team's own flow those that have begun."""
    from builder.errors import DataError
    from builder.steps.order import steps_for
    from builder.steps.request_file import kept_request

    begun = [name for name in seen.records if name not in ("run", "exit")]
    try:
        request = kept_request(reader.objects, seen.run)
    except DataError:
        return begun
    return begun if request.settings.file else list(steps_for(request))


def anything(ctx: click.Context, param: click.Parameter | None, incomplete: str) -> list[CompletionItem]:
    """What `show` explains: runs, flows, revisions."""
    if "@" in incomplete:
        return flow_at_revision(ctx, param, incomplete)
    return [*run(ctx, param, incomplete), *flow(ctx, param, incomplete), *revision(ctx, param, incomplete)]


def run_or_revision(ctx: click.Context, param: click.Parameter | None, incomplete: str) -> list[CompletionItem]:
    """What `compare` compares."""
    return [*run(ctx, param, incomplete), *words(REVISION_WORDS, incomplete), *revision(ctx, param, incomplete)]


def flow_name(ctx: click.Context, param: click.Parameter | None, incomplete: str) -> list[CompletionItem]:
    """Flows of the settings in force."""
    return words(dict.fromkeys(flows(), "flow"), incomplete)


def revision(ctx: click.Context, param: click.Parameter | None, incomplete: str) -> list[CompletionItem]:
    """Branches and tags; short shas of the latest commits with their subjects."""
    names = dict.fromkeys(["HEAD", *_git("for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags", "refs/remotes")], "")
    commits = dict(line.partition(" ")[::2] for line in _git("log", "--all", "--max-count=200", "--format=%h %s"))
    return words({**names, **commits}, incomplete)


def assignment(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """`KEY=` for the keys of the flow's configuration at that revision, with their values there; `evals=` for its action types."""
    name, equals, _ = incomplete.partition("=")
    try:
        known = _assignments(str(ctx.params.get("target") or ""))
    except (BuilderError, OSError):
        return []
    if equals:
        return [CompletionItem(f"{name}={known[name]}")] if name in known else []
    return words({f"{key}=": f"now {value}" for key, value in known.items()}, incomplete)


def _assignments(text: str) -> dict[str, str]:
    from builder.cli import wiring
    from builder.cli.starting import Target
    from builder.runs.flows import parameters_of
    from builder.runs.words import split
    from builder.settings import FlowSettings, at_commit
    from builder.source.repository import Git

    target = Target.parse(text)
    with Git.open(Path.cwd()) as git:
        word, _ = split(target.revision or "")
        commit = git.resolve("HEAD" if word else target.revision or "HEAD")  # what the word stands for may be far away
        settings, _ = at_commit(wiring.load_settings(), lambda path: git.read_path(commit, path), commit.sha)
        flow = settings.flow.get(target.flow, FlowSettings())
        parameters = parameters_of(target.flow, flow, lambda path: git.read_path(commit, path))
    found = {name: "" if value is None else str(value) for name, value in parameters.items()}
    return found if flow.file else {**found, "evals": ",".join(sorted(flow.evals))}


def flows() -> list[str]:
    from builder.settings import load

    try:
        named: Iterable[str] = load(Path.cwd(), os.environ).flow
    except BuilderError:
        named = ()
    return sorted({*named, *BUILT_IN_FLOWS})


def _git(*arguments: str) -> list[str]:
    from builder.process import run

    try:
        return run(["git", *arguments], check=False, timeout=5).text.splitlines()
    except BuilderError:
        return []
