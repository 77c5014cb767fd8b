"""Which checkpoints and files there are in the data root, and what names them: every digest that any document of a run holds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice

from builder.collect.run_facts import refuse
from builder.data.checkpoint_manifest import Manifest
from builder.data.checkpoints import FOLDER, read_checkpoint
from builder.data.interface import Found, Objects
from builder.data.ledger import Ledger
from builder.data.threads import in_threads

_DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_NAME = re.compile(rf"{FOLDER}/([0-9a-f]{{64}})\.json\Z")
_BLOB = re.compile(r"blobs/sha256/([0-9a-f]{2})/(\1[0-9a-f]{62})\Z")
_DOCUMENTS = ("runs", "external", "jobs")
"""Folders of runs in which JSON may name checkpoints, beside the ledger."""
_AT_ONCE = 64


def digests_in(text: bytes) -> Iterator[str]:
    """Whatever looks like one (64 hex), whatever it is of: more is needed than there is, never less."""
    return (found.decode() for found in _DIGEST.findall(text))


def checkpoints_there(objects: Objects) -> dict[str, Found]:
    """By name (64 hex)."""
    return {match[1]: found for found in objects.list(f"{FOLDER}/") if (match := _NAME.match(found.key))}


def frozen_ones(objects: Objects) -> dict[str, str]:
    """By name, one of the runs that froze it."""
    return {found.key.split("/")[1]: found.key.rpartition("/")[2] for found in objects.list("frozen/")}


def named_by_runs(objects: Objects, ledger: Ledger) -> dict[str, str]:
    """What records and documents of runs name, by which run first. Raises DataError when one cannot be read."""
    named: dict[str, str] = {}
    for entry in ledger.runs(warn=refuse):
        for digest in digests_in(json.dumps(entry.records).encode()):
            named.setdefault(digest, entry.run)
    for key, data in _read(objects, _documents(objects)):
        for digest in digests_in(data):
            named.setdefault(digest, key.split("/")[1])
    return named


def _documents(objects: Objects) -> Iterator[str]:
    for folder in _DOCUMENTS:
        yield from (found.key for found in objects.list(f"{folder}/") if found.key.endswith(".json"))


def _read(objects: Objects, keys: Iterator[str]) -> Iterator[tuple[str, bytes]]:
    """Some at a time; one that went since it was listed names nothing."""
    while batch := list(islice(keys, _AT_ONCE)):
        yield from ((key, data) for key, data in zip(batch, in_threads(objects.get, batch), strict=True) if data is not None)


def manifests(objects: Objects, names: Iterable[str]) -> Iterator[tuple[str, Manifest]]:
    """Raises DataError, IntegrityError when one cannot be read: nobody knows which files it needs."""
    waiting = iter(names)
    while batch := list(islice(waiting, _AT_ONCE)):
        yield from zip(batch, in_threads(lambda name: read_checkpoint(objects, f"sha256:{name}"), batch), strict=True)


def blobs_there(objects: Objects) -> Iterator[tuple[str, Found]]:
    """Files of checkpoints by sha256 (64 hex), of one folder after the other."""
    for folder in sorted(objects.folders("blobs/sha256/")):
        for found in objects.list(f"blobs/sha256/{folder}/"):
            if match := _BLOB.match(found.key):
                yield match[2], found
