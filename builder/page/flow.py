"""The nightly step that writes the page: the last thing that the flow *housekeep* does in its pod."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from builder.cluster.kubernetes import connect
from builder.data.ledger import Ledger
from builder.deploy.starter import URL
from builder.errors import SourceError, StoreError
from builder.model.reference import Repository
from builder.page.gather import Places, gather
from builder.page.publish import publish
from builder.runs.in_force import settings_of
from builder.runs.sources import Sources
from builder.settings import Settings
from builder.source.clone import clone_bare, with_token
from builder.source.repository import Git
from builder.steps.markers import note
from builder.steps.request import Task
from builder.steps.root import objects_of
from builder.stores.interface import Store
from builder.stores.registry import RegistryStore
from builder.stores.registry.credentials import find_credential


def run(task: Task) -> None:
    """Raises DataError, AuthError when the page cannot be written; what it cannot ask it says on it."""
    request = task.request
    settings = settings_of(request)
    if not settings.housekeep.page:
        return
    with ExitStack() as open_ones:
        aside = Path(open_ones.enter_context(tempfile.TemporaryDirectory(prefix="builder-page-")))
        objects = objects_of(request)
        ledger = Ledger(objects, aside / "ledger")  # it is read twice, and a pod keeps none
        sources = Sources(settings, objects, ledger, lambda: connect(request.namespace), note)
        facts = gather(Places(sources, _git(aside, open_ones), _store(settings, open_ones), _name(settings)))
        for text in facts.notes:
            note(f"the page: {text}")
        note(f"the page is at {publish(objects, facts)}")


def _git(aside: Path, open_ones: ExitStack) -> Callable[[], Git]:
    def opened() -> Git:
        url = os.environ.get(URL, "")
        if not url:
            raise SourceError("no secret says where the repository is ([deploy] git_secret)")
        os.environ.update(with_token(url, os.environ))
        clone_bare(url, aside / "repository.git", without="tree:0")
        return open_ones.enter_context(Git.open(aside / "repository.git"))

    return opened


def _store(settings: Settings, open_ones: ExitStack) -> Callable[[], Store]:
    def opened() -> Store:
        target = settings.store.target
        if target.startswith(("oci:", "docker:")):
            raise StoreError(f"{target} is on one machine alone, and no pod sees it")
        store = RegistryStore(Repository.parse(target), insecure=settings.store.insecure, credentials=find_credential, notice=note)
        open_ones.callback(store.close)
        return store

    return opened


def _name(settings: Settings) -> str:
    """As people call the repository."""
    url = os.environ.get(URL, "") or settings.image.source
    return url.rstrip("/").rpartition("/")[2].removesuffix(".git") or settings.deploy.namespace
