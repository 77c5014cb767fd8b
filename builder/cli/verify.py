"""`builder verify`: is an image exactly its commit?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli import complete, output
from builder.errors import StoreError

if TYPE_CHECKING:
    from builder.cli.making import Maker
    from builder.image.verify import Verdict


@click.command("verify")
@click.argument("image", metavar="REF|REV", default="HEAD", shell_complete=complete.revision)
@click.option("--repo", metavar="DIR", type=click.Path(path_type=Path), help="The repository. Default: the one you are in.")
@click.option("--to", metavar="STORE", default="", help="Where the image of a REV is: registry.host/name or oci:DIR. Default: [store].")
@click.option("--deep", is_flag=True, help="Read every code layer back from the store and hash it.")
@output.format_option("table", "json")
def command(image: str, repo: Path | None, to: str, deep: bool, form: str) -> None:
    """Check that an image is exactly its commit.

    Makes the code layers again from git and compares them DiffID by DiffID; names the paths that differ. Takes a reference by
    digest, or a revision, whose image is looked up in the store. Exit code 0: the same; 1: it differs.
    """
    from builder.cli.making import making

    name, at, digest = image.partition("@sha256:")
    with making(repo, name if at else to) as maker:
        verdict = _verify(maker, f"sha256:{digest}" if at else "", image, deep=deep)
    if form == "json":
        found = {"commit": verdict.commit.sha, "digest": verdict.digest, "layers": verdict.layers, "problems": list(verdict.problems)}
        output.document({**found, "same": not verdict.problems})
    elif not verdict.problems:
        output.result(f"{verdict.digest} is {verdict.commit.sha}: {output.plural(verdict.layers, 'code layer')} compared")
    for problem in verdict.problems:
        output.error(problem)
    if verdict.problems:
        raise click.exceptions.Exit(1)


def _verify(maker: Maker, digest: str, revision: str, *, deep: bool) -> Verdict:
    from builder.image.verify import commit_of, verify_image
    from builder.model.oci import Manifest

    store = maker.store
    wanted = digest or maker.git.resolve(revision).sha
    stored = store.get_manifest(wanted)
    if stored is None:
        raise StoreError(f"{store.name} has no image {digest or 'of ' + revision}", "`builder image --commit REV` makes it")
    commit = maker.git.commit(commit_of(Manifest.from_bytes(stored.data)))
    return verify_image(maker.git, store, commit, stored.digest, maker.image_settings(commit), deep=deep)
