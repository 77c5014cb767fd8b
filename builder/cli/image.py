"""`builder image`: a commit, the working tree, or every commit that has none yet, as an image in a store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder.cli import complete, output
from builder.errors import SourceError, UsageError

if TYPE_CHECKING:
    from builder.cli.making import Maker
    from builder.model.image import BuiltImage
    from builder.model.tree import Commit

_REVISION: dict[str, Any] = {"default": "", "shell_complete": complete.revision}


@click.command("image")
@click.option("--commit", "revision", metavar="REV", help="The commit, as git spells it. Default: HEAD.", **_REVISION)
@click.option("--repo", metavar="DIR", type=click.Path(path_type=Path), help="The repository. Default: the one you are in.")
@click.option("--to", metavar="STORE", default="", help="registry.host/name, oci:DIR or docker:. Default: [store].")
@click.option("--base", metavar="REF", default="", help="Instead of [image] base: a reference by digest, oci:DIR@sha256:... or scratch.")
@click.option("--dirty", is_flag=True, help="The working tree as it is, untracked files too; ignored ones stay out.")
@click.option("--include", metavar="GLOB", multiple=True, help="With --dirty: let in untracked files over 10 MB or that look like secrets.")
@click.option("--missing", is_flag=True, help="Every first-parent commit that has none, back to where all have one; at most 200.")
@click.option("--since", metavar="REV", help="With --missing: back to this commit instead.", **_REVISION)
@click.option("--refresh", is_flag=True, help="Build with today's inputs, even if the commit has an image.")
@click.option("--with-base", is_flag=True, help="Copy the base's layers into an oci:DIR too, so that it is complete.")
@click.option("--report", is_flag=True, help="Tell the forge: a status for each commit, a comment on the pull request ([forge]).")
@click.option("--dry-run", is_flag=True, help="Print the plan: every layer, and what nodes would pull. Write nothing.")
@output.format_option("table", "json", "name")
def command(
    revision: str,
    repo: Path | None,
    to: str,
    base: str,
    dirty: bool,
    include: tuple[str, ...],
    missing: bool,
    since: str,
    refresh: bool,
    with_base: bool,
    report: bool,
    dry_run: bool,
    form: str,
) -> None:
    """Build and push the image of a commit.

    The code layers come straight from git, without Docker; what the store has is not sent again. Prints one reference by
    digest per commit on stdout; everything else goes to stderr.
    """
    _check(dirty=dirty, include=include, missing=missing, since=since, revision=revision)
    if with_base and dry_run:
        raise UsageError("--with-base copies and --dry-run writes nothing: one of them")
    if report and (dirty or dry_run):
        raise UsageError("--report is about commits that got their images: it goes with neither --dirty nor --dry-run")
    from builder.cli.making import making
    from builder.cli.reporting import reporting

    with making(repo, to, base, refresh=refresh, dry_run=dry_run) as maker:
        if with_base:
            maker.layout()  # before anything is made
        revision = revision or "HEAD"
        built = maker.missing(revision, since) if missing else _one(maker, "" if dirty else revision, include)
        if with_base:
            built = maker.with_bases(built)
        if dry_run:
            from builder.cli import plan

            plan.show(built, form, maker.unmade)
        else:
            with reporting(maker, revision, missing=missing, report=report) as reporter:
                _show(reporter.watch(built), form, maker)
        _mention_skipped(maker)


def _one(maker: Maker, revision: str, include: Sequence[str]) -> Iterator[BuiltImage]:
    """Of the revision, or of the working tree where there is none."""
    yield maker.one(revision) if revision else maker.working_tree(include)


def _mention_skipped(maker: Maker) -> None:
    """Those in gaps are no failure of this build: the one that first met them failed, and each later one tries again."""
    if count := len(maker.skipped.keys() - maker.gaps):
        text = f"{output.plural(count, 'commit')} could not be made into an image: see above"
        raise SourceError(text, "--since REV leaves out REV and what is older")


def _check(*, dirty: bool, include: Sequence[str], missing: bool, since: str, revision: str) -> None:
    if dirty and (revision or missing):
        raise UsageError("--dirty is the working tree: it goes with neither --commit nor --missing")
    if include and not dirty:
        raise UsageError("--include only goes with --dirty")
    if since and not missing:
        raise UsageError("--since only goes with --missing")


def _show(images: Iterable[BuiltImage], form: str, maker: Maker) -> None:
    done = []
    for image in images:
        done.append(image)
        if form == "name":
            output.result(image.reference)
        _comment(image)
    if form == "json":
        output.document([as_json(image) for image in done])
    elif form == "table" and done:
        show_table(done)
        output.note(f"next: {_next(maker, done[-1].commit)}")


def _next(maker: Maker, commit: Commit) -> str:
    flows = sorted(name for name, flow in maker.settings_at(commit).flow.items() if flow.evals)
    return f"builder run {flows[0]}@{commit.sha[:12]}" if flows else f"builder verify {commit.sha[:12]}"


def _comment(image: BuiltImage) -> None:
    if image.existed:
        output.note(f"{image.commit.sha[:12]} has its image already; nothing to do")
        return
    layers = output.plural(sum(layer.state == "uploaded" for layer in image.layers), "layer")
    absent = sum(layer.size for layer in image.layers if layer.state == "absent")
    sizes = f"{output.size(image.new_bytes)} new in {layers}, {output.size(image.reused_bytes)} reused"
    sizes += f", {output.size(absent)} of the base not here (--with-base)" if absent else ""
    output.note(f"{image.commit.sha[:12]} {image.commit.subject[:60]}: {sizes}, {output.duration(image.seconds)}")
    if image.pointers:
        listed = ", ".join(image.pointers[:5]) + (f" and {len(image.pointers) - 5} more" if len(image.pointers) > 5 else "")
        output.warn(f"{output.plural(len(image.pointers), 'Git LFS file')} went in as pointers, without content: {listed}")
        output.note('lfs = "fetch" in [image] puts the content in; exclude leaves them out')


def show_table(images: Sequence[BuiltImage]) -> None:
    """Commit, subject, digest, bytes and time of each."""
    rows = [
        (
            image.commit.sha[:12],
            image.commit.subject[:50],
            image.digest[7:19],
            output.size(image.new_bytes),
            output.size(image.reused_bytes),
            output.duration(image.seconds),
        )
        for image in images
    ]
    output.table(("COMMIT", "SUBJECT", "DIGEST", "NEW", "REUSED", "TIME"), rows, right=("NEW", "REUSED", "TIME"))


def as_json(image: BuiltImage) -> dict[str, Any]:
    """The documented form (docs/reference/json.md)."""
    layers = [{"digest": layer.digest, "size": layer.size, "kind": layer.kind, "state": layer.state} for layer in image.layers]
    return {
        "commit": image.commit.sha,
        "reference": image.reference,
        "digest": image.digest,
        "subject": image.commit.subject,
        "layers": layers,
        "new_bytes": image.new_bytes,
        "reused_bytes": image.reused_bytes,
        "requests": image.requests,
        "seconds": round(image.seconds, 3),
    }
