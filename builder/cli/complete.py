"""What the shell offers after a tab. Never an error: a completion that fails offers nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from builder.cli.commands import BUILT_IN_FLOWS
from builder.errors import BuilderError


def words(lines: Mapping[str, str], incomplete: str) -> list[CompletionItem]:
    """Those words that begin so, each with its line of help."""
    return [CompletionItem(word, help=line) for word, line in lines.items() if word.startswith(incomplete)]


def flow_at_revision(ctx: click.Context, param: click.Parameter | None, incomplete: str) -> list[CompletionItem]:
    """`FLOW@`, and after the `@` revisions."""
    flow, at, typed = incomplete.partition("@")
    if not at:
        return words(dict.fromkeys((f"{name}@" for name in flows()), "flow"), incomplete)
    return [CompletionItem(f"{flow}@{item.value}", help=item.help) for item in revision(ctx, param, typed)]


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
    from builder.runs.flow_file import read_flow_file
    from builder.settings import FlowSettings, at_commit
    from builder.source.repository import Git
    from builder.steps.config import flat, load

    target = Target.parse(text)
    with Git.open(Path.cwd()) as git:
        commit = git.resolve(target.revision or "HEAD")
        settings, _ = at_commit(wiring.load_settings(), lambda path: git.read_path(commit, path), commit.sha)
        flow = settings.flow.get(target.flow, FlowSettings())
        if flow.file:
            parameters = read_flow_file(flow.file, git.read_path(commit, flow.file), "").parameters
            return {name: "" if value is None else str(value) for name, value in parameters.items()}
        values = load(flow.config, lambda path: git.read_path(commit, path), (), flow.defaults).values
    return {**{key: str(value) for key, value in flat(values).items()}, "evals": ",".join(sorted(flow.evals))}


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
