"""`builder deps`: the dependencies of a commit's image, made before anybody needs them, where they can be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder.cli import complete, output
from builder.cli.forks import forgiven
from builder.errors import DepsError, SettingsError, UsageError
from builder.model.annotations import TITLE

if TYPE_CHECKING:
    from builder.cli.making import Maker
    from builder.image.deps import Deps, Recipe
    from builder.model.tree import Commit
    from builder.settings import DepsSettings
    from builder.source.repository import Git
    from builder.stores.interface import Store

_REVISION: dict[str, Any] = {"default": "HEAD", "shell_complete": complete.revision}


@click.command("deps")
@click.option("--commit", "revision", metavar="REV", help="The commit, as git spells it. Default: HEAD.", **_REVISION)
@click.option("--repo", metavar="DIR", type=click.Path(path_type=Path), help="The repository. Default: the one you are in.")
@click.option("--to", metavar="STORE", default="", help="registry.host/name or oci:DIR. Default: [store].")
@click.option("--base", metavar="REF", default="", help="Instead of [image] base.")
@click.option("--missing", is_flag=True, help="For every commit that `builder image --missing` would make, each key once.")
@click.option("--key", "only_key", is_flag=True, help="Print the hash of the inputs and stop: CI caches by it.")
@click.option("--dry-run", is_flag=True, help="Say whether they are there and what would be built; build nothing.")
@output.format_option("table", "json", "name")
def command(revision: str, repo: Path | None, to: str, base: str, missing: bool, only_key: bool, dry_run: bool, form: str) -> None:
    """Build the dependencies image or layers.

    `builder image` does this by itself; run it where a Dockerfile can be built (a machine with Docker, CI, or with BUILDKIT_HOST),
    and it is found everywhere. Unchanged inputs: nothing runs.
    """
    from builder.cli.making import making

    if missing and only_key:
        raise UsageError("--key is of one commit, and --missing of several: one of them")
    with making(repo, to, base) as maker:
        if only_key:
            if recipe := _plan(maker, maker.git.resolve(revision), revision):
                output.result(recipe.key)
        elif missing:
            with forgiven("its dependencies are not built"):
                _make_missing(maker, revision, form, dry_run=dry_run)
        else:
            commit = maker.git.resolve(revision)
            if recipe := _plan(maker, commit, revision):
                deps = _make(maker, commit, recipe, dry_run=dry_run)
                if form == "json":
                    output.document(_as_json(recipe, deps, maker.store))
                else:
                    _show(deps, maker.store, form)


def _make_missing(maker: Maker, revision: str, form: str, *, dry_run: bool) -> None:
    from builder.image.missing import find_missing

    made: dict[str, tuple[Recipe, Deps | None]] = {}
    for commit in find_missing(maker.git, maker.store, maker.git.resolve(revision), gaps_since=maker.gaps_since).commits:
        recipe = _plan_or_skip(maker, commit)
        if recipe and recipe.key not in made:
            made[recipe.key] = recipe, _make(maker, commit, recipe, dry_run=dry_run)
    if form == "json":
        output.document([_as_json(recipe, deps, maker.store) for recipe, deps in made.values()])
        return
    for _, deps in made.values():
        _show(deps, maker.store, form)
    if not made:
        output.note("no commit waits for its dependencies; nothing to do")


def _plan_or_skip(maker: Maker, commit: Commit) -> Recipe | None:
    """A commit whose settings or inputs cannot be used gets no image, which `builder image --missing` says."""
    try:
        return _plan(maker, commit)
    except (SettingsError, DepsError) as error:
        output.warn(f"{commit.sha[:12]} {commit.subject[:60]}: skipped: {error.message}")
        return None


def _plan(maker: Maker, commit: Commit, revision: str = "") -> Recipe | None:
    from builder.image.deps import plan_deps
    from builder.image.prepare import commit_files, find_base

    settings = maker.image_settings(commit)
    if settings.deps is None:
        maker.say_once("no dependencies are set ([image.deps]): the image has what its base has; nothing to do", output.note)
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


def _make(maker: Maker, commit: Commit, recipe: Recipe, *, dry_run: bool) -> Deps | None:
    """Those that are there, else new ones; None where a dry run makes none."""
    from builder.image.deps import build_deps, lookup
    from builder.image.prepare import commit_files, find_base

    shop = maker.workshop
    if deps := lookup(recipe, shop.artifacts.doubting()):
        output.note(f"{shop.store.name} has {recipe.tag}; nothing to do")
        return deps
    if dry_run:
        output.note(f"{shop.store.name} lacks {recipe.tag}: {recipe.describe()} would be built")
        return None
    base = find_base(shop, maker.image_settings(commit))
    return build_deps(recipe, commit_files(maker.git, commit), base, shop.artifacts, place=shop.place, progress=shop.progress)


def _as_json(recipe: Recipe, deps: Deps | None, store: Store) -> dict[str, Any]:
    layers = deps.layers if deps else ()
    listed = [{"digest": layer.digest, "size": layer.size, "title": layer.annotations.get(TITLE, "")} for layer in layers]
    return {"key": recipe.key, "tag": recipe.tag, "reference": _reference(deps, store), "found": bool(deps), "layers": listed}


def _reference(deps: Deps | None, store: Store) -> str:
    return store.reference(deps.digest) if deps and deps.digest else ""


def _show(deps: Deps | None, store: Store, form: str) -> None:
    reference = _reference(deps, store)
    if form == "name":
        if reference:
            output.result(reference)
    elif deps:
        rows = [(layer.annotations.get(TITLE, ""), layer.digest[7:19], output.size(layer.size)) for layer in deps.layers]
        output.table(("LAYER", "DIGEST", "SIZE"), rows, right=("SIZE",))
        if reference:
            output.result(reference)
        else:
            output.note("nothing to install: the base provides everything")
