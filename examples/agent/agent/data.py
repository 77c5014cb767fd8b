"""Recorded steps: a goal, the elements on the screen, and what a person did next."""

import json
from pathlib import Path


def action_types(directory):
    return sorted(path.stem for path in Path(directory).glob("*.jsonl"))


def samples(directory, action, split):
    """Dicts with goal, screen (a list of "kind: label"), action and target (an index into screen)."""
    lines = (Path(directory) / f"{action}.jsonl").read_text(encoding="utf-8").splitlines()
    return [sample for sample in map(json.loads, lines) if sample["split"] == split]
