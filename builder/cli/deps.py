"""`builder deps`: the dependencies of a commit's image, made before anybody needs them, where they can be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder.cli import complete, output

if TYPE_CHECKING:
    from builder.cli.making import Maker
    from builder.image.deps import Deps, Recipe
    from builder.settings import DepsSettings
    from builder.source.repository import Git
    from builder.stores.interface import Store

_REVISION: dict[str, Any] = {"default": "HEAD", "shell_complete": complete.revision}


@click.command("deps")
@click.option("--commit", "revision", metavar="REV", help="The commit, as git spells it. Default: HEAD.", **_REVISION)
@click.option("--repo", metavar="DIR", type=click.Path(path_type=Path), help="The repository. Default: the one you are in.")
@click.option("--to", metavar="STORE", default="", help="registry.host/name or oci:DIR. Default: [store].")
@click.option("--base", metavar="REF", default="", help="Instead of [image] base.")
@click.option("--key", "only_key", is_flag=True, help="Print the hash of the inputs and stop: CI caches by it.")
@click.option("--dry-run", is_flag=True, help="Say whether they are there and what would be built; build nothing.")
@output.format_option("table", "json", "name")
def command(revision: str, repo: Path | None, to: str, base: str, only_key: bool, dry_run: bool, form: str) -> None:
    """Build the dependencies image or layers.

    `builder image` does this by itself; run it where a Dockerfile can be built (a machine with Docker, CI, or with BUILDKIT_HOST),
    and it is found everywhere. Unchanged inputs: nothing runs.
    """
    from builder.cli.making import making

    with making(repo, to, base) as maker:
        if only_key:
            if recipe := _plan(maker, revision):
                output.result(recipe.key)
        else:
            _make(maker, revision, form, dry_run=dry_run)


def _plan(maker: Maker, revision: str) -> Recipe | None:
    from builder.image.deps import plan_deps
    from builder.image.prepare import commit_files, find_base

    commit = maker.git.resolve(revision)
    settings = maker.image_settings(commit)
    if settings.deps is None:
        output.note("no dependencies are set ([image.deps]): the image has what its base has; nothing to do")
        return None
    if revision == "HEAD" and (changed := _uncommitted(maker.git, settings.deps)):
        output.note(f"{', '.join(changed)} in the working tree differs from the commit's, which counts; commit it first")
    return plan_deps(settings, commit_files(maker.git, commit), find_base(maker.workshop, settings))


def _uncommitted(git: Git, deps: DepsSettings) -> list[str]:
    """Inputs of the dependencies that are other in the working tree than in HEAD."""
    if git.top is None:
        return []
    paths = [deps.dockerfile or deps.lock, *(path.strip("/") for path in deps.context)]
    specs = [f":(top,{'glob' if set(path) & set('*?[') else 'literal'}){path}" for path in paths if path]
    return git.run("diff", "--name-only", "-z", "HEAD", "--", *specs, check=False).text.split("\0")[:-1]


def _make(maker: Maker, revision: str, form: str, *, dry_run: bool) -> None:
    from builder.image.deps import build_deps, lookup
    from builder.image.prepare import commit_files, find_base

    recipe, shop = _plan(maker, revision), maker.workshop
    if recipe is None:
        return
    deps = lookup(recipe, shop.artifacts.doubting())
    if deps:
        output.note(f"{shop.store.name} has {recipe.tag}; nothing to do")
    elif dry_run:
        output.note(f"{shop.store.name} lacks {recipe.tag}: {recipe.describe()} would be built")
    else:
        commit = maker.git.resolve(revision)
        base = find_base(shop, maker.image_settings(commit))
        deps = build_deps(recipe, commit_files(maker.git, commit), base, shop.artifacts, place=shop.place, progress=shop.progress)
    _show(recipe, deps, shop.store, form)


def _show(recipe: Recipe, deps: Deps | None, store: Store, form: str) -> None:
    from builder.model.annotations import TITLE

    reference = store.reference(deps.digest) if deps and deps.digest else ""
    layers = deps.layers if deps else ()
    if form == "json":
        listed = [{"digest": layer.digest, "size": layer.size, "title": layer.annotations.get(TITLE, "")} for layer in layers]
        output.document({"key": recipe.key, "tag": recipe.tag, "reference": reference, "found": bool(deps), "layers": listed})
    elif form == "name":
        if reference:
            output.result(reference)
    elif deps:
        rows = [(layer.annotations.get(TITLE, ""), layer.digest[7:19], output.size(layer.size)) for layer in layers]
        output.table(("LAYER", "DIGEST", "SIZE"), rows, right=("SIZE",))
        if reference:
            output.result(reference)
        else:
            output.note("nothing to install: the base provides everything")
