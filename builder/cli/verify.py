"""`builder verify`: is an image exactly its commit?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli import complete, output
from builder.errors import IntegrityError, StoreError

if TYPE_CHECKING:
    from builder.cli.making import Maker
    from builder.image.verify import Verdict


@click.command("verify")
@click.argument("image", metavar="REF|REV", default="HEAD", shell_complete=complete.revision)
@click.option("--repo", metavar="DIR", type=click.Path(path_type=Path), help="The repository. Default: the one you are in.")
@click.option("--to", metavar="STORE", default="", help="Where the REV is: registry.host/name, oci:DIR, docker:. Default: [store].")
@click.option("--deep", is_flag=True, help="Read every code layer back from the store and hash it.")
@output.format_option("table", "json")
def command(image: str, repo: Path | None, to: str, deep: bool, form: str) -> None:
    """Check that an image is exactly its commit.

    Makes the code layers again from git and compares them DiffID by DiffID; names the paths that differ. Takes a reference
    (registry.host/name or oci:DIR, with @sha256:... or :tag), or a revision, HEAD by default, whose image is looked up in the
    store; with --to docker: only a revision. Exit code 0: the same; 1: it differs.
    """
    from builder.cli.making import making

    name, ref = split_reference(image)
    with making(repo, name or to) as maker:
        verdict = _verify(maker, ref, image, deep=deep)
    if form == "json":
        found = {"commit": verdict.commit.sha, "digest": verdict.digest, "layers": verdict.layers, "problems": list(verdict.problems)}
        output.document({**found, "same": not verdict.problems})
    elif not verdict.problems:
        output.result(f"{verdict.digest} is {verdict.commit.sha}: {output.plural(verdict.layers, 'code layer')} compared")
    for problem in verdict.problems:
        output.error(problem)
    if verdict.problems:
        raise click.exceptions.Exit(1)


def split_reference(text: str) -> tuple[str, str]:
    """The store, and the digest or tag in it; both empty for a revision. The digest goes before a tag."""
    name, _, digest = text.partition("@sha256:")
    first, slash, _ = name.partition("/")
    before, colon, tag = name.rpartition(":")
    tagged = colon and "/" not in tag and (before.startswith("oci:") or (slash and "/" in before and _may_be_host(first)))
    if digest:
        return before if tagged else name, f"sha256:{digest}"
    return (before, tag) if tagged else ("", "")


def _may_be_host(text: str) -> bool:
    return "." in text or ":" in text or text == "localhost"


def _verify(maker: Maker, ref: str, revision: str, *, deep: bool) -> Verdict:
    from builder.cli.restoring import with_content
    from builder.image.verify import commit_of, verify_image
    from builder.model.oci import Manifest

    store = maker.store
    stored = store.get_manifest(ref or maker.git.resolve(revision).sha)
    if stored is None:
        raise StoreError(f"{store.name} has no image {ref or 'of ' + revision}", "`builder image --commit REV` makes it")
    try:
        sha = commit_of(Manifest.from_bytes(stored.data))
    except IntegrityError as error:
        raise IntegrityError(f"{store.reference(stored.digest)}: {error.message}", error.hint) from error
    commit = maker.git.commit(sha)
    settings = maker.image_settings(commit)
    return with_content(maker, commit, lambda: verify_image(maker.git, store, commit, stored.digest, settings, deep=deep))
