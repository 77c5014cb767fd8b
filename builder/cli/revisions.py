"""A revision as people type it beside a flow: one of git's, or `green`, `live`, `last`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.cli import output
from builder.errors import RevisionError, SourceError, UsageError

if TYPE_CHECKING:
    from builder.cli.reading import Reader
    from builder.model.tree import Commit
    from builder.runs.lookup import Places
    from builder.settings import Settings


def find_commit(reader: Reader, flow: str, revision: str) -> Commit:
    """Says on stderr what a word stands for. Raises RevisionError."""
    from builder.runs.words import look_up, split

    git, (word, rest) = reader.git, split(revision)
    if not word:
        return _here_or_sent(reader, revision)
    stands = look_up(word, flow, reader.sources)
    output.note(f"{word} of {flow} is {stands.sha[:12]}: {stands.why}")
    for ref in git.run("for-each-ref", "--format=%(refname)", f"refs/heads/{word}", f"refs/tags/{word}").text.split():
        output.note(f"git knows {word}, too: to mean that, write {flow}@{ref}")
    try:
        commit = _here_or_sent(reader, stands.sha)
        return git.resolve(commit.sha + rest) if rest else commit
    except RevisionError as error:
        raise RevisionError(f"{revision} of {flow}: {error.message}", error.hint) from error


def _here_or_sent(reader: Reader, revision: str) -> Commit:
    from builder.runs.bundles import find

    try:
        return reader.git.resolve(revision)
    except RevisionError:
        found = find(reader.git, reader.objects, revision)
        if found is None:
            raise
        return found


def only_flow(settings: Settings) -> str:
    """The flow that is meant where none is named. Raises UsageError when that cannot be said."""
    if len(settings.flow) == 1:
        return next(iter(settings.flow))
    if "finetune" in settings.flow:
        return "finetune"
    raise UsageError("of which flow?", f"write FLOW@REV; flows here: {', '.join(sorted(settings.flow)) or 'none'}")


def naming(reader: Reader) -> Places:
    """Where what a word names is looked up."""
    from builder.cli.commands import BUILT_IN_FLOWS
    from builder.runs.lookup import Places

    flows = frozenset(reader.settings.flow) or frozenset(BUILT_IN_FLOWS)
    return Places(
        reader.ledger, reader.objects, reader.maybe_git, flows, lambda flow, rev: _resolve(reader, flow, rev), lambda: reader.store
    )


def _resolve(reader: Reader, flow: str, revision: str) -> str:
    from builder.runs.words import split

    try:
        named = flow or (only_flow(reader.settings) if split(revision)[0] else "")
        return find_commit(reader, named, revision).sha
    except RevisionError:
        raise
    except SourceError as error:
        raise RevisionError(error.message, error.hint) from error
