"""What a commit says of a flow that is to run: where its code is, its configuration, and whether what it needs is there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builder.deploy.compile import Source
    from builder.model.tree import Commit
    from builder.runs.prepare import Wanted
    from builder.settings import FlowSettings
    from builder.source.repository import Git
    from builder.steps.config import Config


def source_of(git: Git, wanted: Wanted) -> Source:
    """The flow's file, or of a team's own flow what it is compiled with. Nothing is read yet."""
    from builder.deploy.compile import Source
    from builder.deploy.own_files import OwnFiles
    from builder.launch.behind import tool_path
    from builder.runs.prepare import choose_flow, flow_file
    from builder.settings import LaunchSettings

    settings = wanted.settings
    flow, label = choose_flow(wanted.flow, settings), f"[flow.{wanted.flow}]"
    if not flow.file:
        return Source(flow_file(wanted.flow, flow), tool_path(), label)
    pod = settings.launch.get("default", LaunchSettings()).pod
    return Source(OwnFiles(git, wanted.commit, settings.image, flow.file, pod), tool_path(), f"{label} {flow.file}")


def resolve_config(git: Git, wanted: Wanted) -> Config:
    from builder.steps.config import load

    flow = wanted.settings.flow[wanted.flow]
    if flow.file:
        return _parameters(git, wanted, flow)
    return load(wanted.config, lambda path: git.read_path(wanted.commit, path), wanted.overrides.config, flow.defaults, flow.schema)


def _parameters(git: Git, wanted: Wanted, flow: FlowSettings) -> Config:
    from builder.runs.flow_file import check_words, read_flow_file
    from builder.runs.prepare import words_for
    from builder.steps.own import parameters

    words = words_for(flow, wanted.overrides)
    found = read_flow_file(flow.file, git.read_path(wanted.commit, flow.file), f"[flow.{wanted.flow}] file")
    check_words(found, words, wanted.flow)
    return parameters(words)


def check_externals(git: Git, wanted: Wanted, environ: Mapping[str, str] | None) -> None:
    """What evaluations by others need. Raises SettingsError, UsageError; `environ` is None where the steps' variables cannot be known."""
    from builder.runs.prepare import check_external, chosen_evals
    from builder.settings import ExternalSettings

    flow = wanted.settings.flow[wanted.flow]
    for action in chosen_evals(wanted.flow, flow, wanted.overrides.evals):
        external = flow.evals[action]
        if isinstance(external, ExternalSettings):
            check_external(f"[flow.{wanted.flow}.evals.{action}]", external, partial(_has, git, wanted.commit), environ)


def _has(git: Git, commit: Commit, path: str) -> bool:
    """Whether the commit has a file or a directory there."""
    wanted = os.fsencode(path.rstrip("/"))
    return any(entry.path == wanted or entry.path.startswith(wanted + b"/") for entry in git.entries(commit, submodules=True))
