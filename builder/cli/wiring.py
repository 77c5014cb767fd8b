"""The composition root: the one place that knows the concrete classes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from builder.cli import output
from builder.errors import SettingsError, UsageError
from builder.settings import Settings, load
from builder.stores.interface import Store

if TYPE_CHECKING:
    from builder.cluster.interface import Cluster
    from builder.forge import Forge, Here
    from builder.image.prepare import Workshop

INSECURE_OPTION = "--insecure-registry"
_FORMS = "write registry.host/name, oci:DIR or docker:"


def load_settings(start: Path | None = None) -> Settings:
    """The settings in force in `start`, the working directory when there is none."""
    return load(start or Path.cwd(), os.environ)


def open_store(text: str, settings: Settings) -> Store:
    """The store that `text` (what `--to` says) names, or the settings' own when it is empty.

    A relative `oci:DIR` starts from the working directory on the command line, from the settings' root in the settings.
    Raises UsageError on what names no store. Nothing is read, written or asked yet.
    """
    ours, root = (text, Path.cwd()) if text else (settings.store.target, settings.root)
    if ours.startswith("oci:"):
        return _layout(ours, root)
    if ours.startswith("docker:"):
        return _daemon(ours)
    return _registry(ours, settings)


def _layout(text: str, root: Path) -> Store:
    from builder.stores.layout import LayoutStore

    directory = text.removeprefix("oci:")
    if not directory:
        raise UsageError("oci: names no directory", "write oci:DIR, such as oci:.builder/images")
    if "@sha256:" in directory:
        raise UsageError(f"{text} names one image, not a store", f"write {text.partition('@')[0]}")
    return LayoutStore(root / Path(directory).expanduser())


def _daemon(text: str) -> Store:
    if text != "docker:":
        raise UsageError(f"{text} names no store", "write docker: alone; the daemon is the one of DOCKER_HOST, or the local one")
    from builder.cache import cache_root
    from builder.stores.daemon import DaemonStore

    return DaemonStore(cache_root(os.environ) / "docker")


def _registry(text: str, settings: Settings) -> Store:
    from builder.model.reference import Repository

    host, slash, name = text.partition("/")
    if "://" in text:
        raise UsageError(f"{text} is a URL, not a store", _FORMS)
    if not slash or not name or not ("." in host or ":" in host or host == "localhost"):
        raise UsageError(f"{text} does not begin with a registry's host", f"{_FORMS} (oci:{text} for a directory)")
    if "@" in name or ":" in name:
        raise UsageError(f"{text} names one image, not a store", f"write {host}/{name.partition('@')[0].partition(':')[0]}")
    from builder.stores.registry import RegistryStore
    from builder.stores.registry.credentials import find_credential

    pull = settings.store.pull if text == settings.store.target else ""
    plain, who = _may_be_plain(host, settings), partial(find_credential, notice=output.warn)
    return RegistryStore(Repository.parse(text), pull_name=pull, insecure=plain, credentials=who, notice=output.note)


def _may_be_plain(host: str, settings: Settings) -> bool:
    """Whether the host may be spoken to without encryption. The leave is for the host of the store, never for that of a base."""
    context = click.get_current_context(silent=True)
    ours = settings.store.target
    if context is not None and context.meta.get(INSECURE_OPTION):
        return host == (context.params.get("to") or ours).partition("/")[0]
    return settings.store.insecure and host == ours.partition("/")[0]


def insecure_option() -> click.Option:
    """For every command that takes `--to`."""

    def remember(context: click.Context, _: click.Parameter, value: bool) -> None:
        context.meta[INSECURE_OPTION] = value

    meaning = "Speak http:// to the store's own registry. Loopback needs no leave."
    return click.Option([INSECURE_OPTION], is_flag=True, expose_value=False, callback=remember, help=meaning)


def open_base_store(text: str, settings: Settings) -> Store:
    """The store that a base's name in the settings begins with: a relative `oci:DIR` starts from the settings' root."""
    if text.startswith("oci:"):
        return _layout(text, settings.root)
    return open_store(text, settings)


def open_cluster(settings: Settings) -> Cluster:
    """The namespace of [deploy]. Raises ClusterError when nothing says where a cluster is; nothing is asked yet."""
    from builder.cluster.kubernetes import connect

    return connect(settings.deploy.namespace, settings.deploy.context)


def build_here() -> Here:
    """What the CI system says of the build that we are in."""
    from builder.forge.here import where_we_are

    return where_we_are(os.environ, lambda path: Path(path).read_bytes())


def open_forge(settings: Settings, remote: str) -> Forge:
    """Where pull requests are. `remote` is the URL that the clone came from. Raises ForgeError without a token or a repository."""
    from builder.forge import open_forge

    return open_forge(settings.in_force.forge, build_here(), remote, os.environ, output.note)


def workshop(store: Store, to: str, settings: Settings, sent: Callable[[str], object]) -> Workshop:
    """Where images for `store` are made; `to` is how the command line named it, empty for the settings' own.

    `sent` is told the digests of deps and tool layers that go there.
    """
    from builder.cache import blob_cache, cache_root
    from builder.cli.progress import progress
    from builder.image.deps import Artifacts, BuildPlace
    from builder.image.prepare import Workshop
    from builder.stores.layout import LayoutStore

    root = cache_root(os.environ)
    place = BuildPlace(to or settings.store.target, os.environ.get("BUILDKIT_HOST", ""))
    artifacts = Artifacts(store, root / "artifacts", LayoutStore(root / "made"), sent=sent)
    opened = partial(open_base_store, settings=settings)
    return Workshop(store, artifacts, blob_cache(os.environ), opened, place, progress(), _until(settings))


def _until(settings: Settings) -> float:
    """Up to when [ci] wait has somebody else bring a base or dependencies. 0: nobody."""
    from builder.settings import seconds

    try:
        return time.monotonic() + seconds(settings.ci.wait) if settings.ci.wait else 0.0
    except ValueError as error:
        raise SettingsError(f"[ci] wait, or BUILDER_CI_WAIT: expected {error}, got {settings.ci.wait}") from error
