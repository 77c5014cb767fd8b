"""The kinds of things that `builder gc` looks at. Each is a module of this package with a class `Collector`, made from a Scene."""

from __future__ import annotations

from importlib import import_module

from builder.collect.scene import Scene
from builder.collect.things import Collector

KINDS = ("templates", "runs", "logs", "checkouts", "checkpoints", "images")
"""In the order in which they are looked at, and go: what names other things goes first. builder/cli/gc.py has the same."""


def collector(kind: str, scene: Scene) -> Collector:
    made: Collector = import_module(f"builder.collect.{kind}").Collector(scene)
    return made
