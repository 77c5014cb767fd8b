"""`builder base`: which image commits are built on, and having it where commits go."""

from __future__ import annotations

import os
from pathlib import Path

import click

from builder.cli import output, wiring
from builder.cli.progress import progress
from builder.errors import UsageError
from builder.settings import Settings
from builder.stores.interface import Store


@click.group("base")
def command() -> None:
    """Pin the base image, or mirror it into your registry."""


@command.command("pin")
@click.argument("ref", default="")
def pin_command(ref: str) -> None:
    """Write the base's digest and its Python into builder.toml.

    REF is a name with a tag (nvcr.io/nvidia/pytorch:24.05-py3), a digest, oci:DIR, or scratch. Without it, the base of
    the settings. Prints the reference by digest.
    """
    from builder.cache import blob_cache
    from builder.image.base_pin import pin, write_pin

    settings = wiring.load_settings()
    if settings.file is None:
        raise UsageError("there is no builder.toml to write the base into", "run `builder init`")
    text = _from_root(ref, settings) if ref else _settings_base(settings)
    if text == settings.image.base and _is_pinned(settings):
        output.result(text)
        output.note(f"{settings.file} has the base by digest, and its Python; nothing to do")
        return
    store = _store_of(text, settings)
    pinned = pin(text, store, blob_cache(os.environ), settings.image.platform, progress())
    changed = write_pin(settings.file, pinned.base.reference, pinned.base.python, pinned.tag)
    output.result(pinned.base.reference)
    for skipped in pinned.found.skipped:
        output.note(f"not looked into for Python: {skipped}")
    if pinned.base.digest:
        _say_python(pinned.base.python, pinned.found.where, settings)
    output.note(f"written to {settings.file}" if changed else f"{settings.file} says so already; nothing to do")


@command.command("mirror")
@click.option("--from", "origin", metavar="REF", default="", help="The base to copy. Default: [image] base.")
@click.option("--to", metavar="STORE", default="", help="Where to: registry.host/name or oci:DIR. Default: [store].")
@click.option("--dry-run", is_flag=True, help="Say what would be copied; copy nothing.")
def mirror_command(origin: str, to: str, dry_run: bool) -> None:
    """Copy the base once into the repository that holds the images.

    Blob by blob, streaming; stopped and run again it goes on. Within one registry layers are mounted, not copied.
    """
    from builder.cli.forks import forgiven

    with forgiven("its base is not copied"):
        _mirror(origin, to, dry_run=dry_run)


def _mirror(origin: str, to: str, *, dry_run: bool) -> None:
    from builder.cache import blob_cache
    from builder.image.base import resolve
    from builder.image.base_mirror import mirror, plan_mirror

    settings = wiring.load_settings()
    text = _from_root(origin, settings) if origin else _settings_base(settings)
    source, target = _store_of(text, settings), wiring.open_store(to, settings)
    if target.name.startswith("docker:"):
        raise UsageError("a Docker daemon gets its base from the registry itself", f"run `docker pull {text}`")
    base = resolve(text, source, blob_cache(os.environ), settings.image.platform)
    plan = plan_mirror(base, target)
    missing = f"{output.plural(len(plan.missing), 'blob')}, {output.size(plan.size)}"
    if plan.done:
        output.note(f"{target.name} has the base already ({output.size(base.size)}); nothing to do")
    elif dry_run:
        output.note(f"the base is {output.plural(len(base.layers), 'layer')}, {output.size(base.size)}; {target.name} lacks {missing}")
        output.note(f"next: builder base mirror{_options(origin, to)}")
    else:
        copied = mirror(plan, source, target, progress())
        mounted = f", {copied.mounted} mounted" if copied.mounted else ""
        output.note(f"copied {output.plural(copied.sent, 'blob')}, {output.size(copied.size)}{mounted}; next: builder image")
    output.result(f"{target.name}@{base.digest}" if base.digest else base.reference)


def _settings_base(settings: Settings) -> str:
    if not settings.image.base:
        raise UsageError(
            "no base is set",
            f"[image] base in {settings.file}; name one: `builder base pin nvcr.io/nvidia/pytorch:24.05-py3`"
            if settings.file
            else "run `builder init`",
        )
    return settings.image.base


def _is_pinned(settings: Settings) -> bool:
    from builder.image.base import SCRATCH, split_reference
    from builder.model.oci import is_digest

    base = settings.image.base
    return base == SCRATCH or (is_digest(split_reference(base)[1]) and bool(settings.image.python))


def _from_root(text: str, settings: Settings) -> str:
    """A relative `oci:DIR` is typed from the working directory, and stands in the settings from their own."""
    directory = text.removeprefix("oci:")
    if directory == text or Path(directory).is_absolute() or Path.cwd() == settings.root:
        return text
    return f"oci:{os.path.relpath(directory, settings.root)}"


def _store_of(text: str, settings: Settings) -> Store:
    """The store that a base's reference begins with. `scratch` is in none: any will do."""
    from builder.image.base import SCRATCH, split_reference

    return wiring.open_base_store("" if text == SCRATCH else split_reference(text)[0], settings)


def _say_python(version: str, where: str, settings: Settings) -> None:
    if version:
        output.note(f"Python {version}, from {where}")
    elif settings.image.python:
        output.warn(f"cannot see which Python the base has; [image] python = {settings.image.python} stands")
    else:
        output.warn('cannot see which Python the base has: set [image] python = "3.x", or images get no tool layers')


def _options(origin: str, to: str) -> str:
    return (f" --from {origin}" if origin else "") + (f" --to {to}" if to else "")
