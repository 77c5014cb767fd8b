"""What a line of an outbox may say: a JSON object that asks for a run."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from typing import Any

from builder.errors import LaunchError

FORM = 'every line of $BUILDER_OUTBOX is JSON: {"start": "finetune", "rev": "same", "set": {"lr": 0.1}}'
_KEYS = {"start": str, "rev": str, "set": dict, "evals": list, "on": str, "initial": str}
_TARGETS = ("local", "docker", "argo")
_CHECKPOINT = re.compile(r"sha256:[0-9a-f]{64}\Z")
_NO_CHECKPOINT = f"sha256:{'0' * 64}"
_FLOW = re.compile(r"[a-z][a-z0-9-]{0,21}\Z")


def check_line(raw: Mapping[str, Any], where: str) -> None:
    """Raises LaunchError, naming `where`, on what no line may say."""
    for key, value in raw.items():
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, 1)
            raise LaunchError(f"{where} has a key that means nothing: {key}", f"did you mean {near[0]}?" if near else FORM)
        if not isinstance(value, _KEYS[key]) or not (value or key in ("set", "evals")):
            raise LaunchError(f"{where}: {key} cannot be {json.dumps(value)[:200]}", FORM)
    if not _FLOW.match(raw.get("start", "")):
        raise LaunchError(f"{where} names no flow to start", FORM)
    if not all(isinstance(action, str) for action in raw.get("evals", ())):
        raise LaunchError(f"{where}: evals must be the names of action types", '"evals": ["click", "type"]')
    if not _CHECKPOINT.match(raw.get("initial", _NO_CHECKPOINT)):
        raise LaunchError(f"{where}: {raw['initial'][:200]} is no checkpoint", "sha256:..., as `builder show` has it")
    if raw.get("on", "argo") not in _TARGETS:
        raise LaunchError(f"{where}: a run cannot be on {raw['on']}", f"on is one of {', '.join(_TARGETS)}, or left out")
