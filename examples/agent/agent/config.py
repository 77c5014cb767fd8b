"""Reads flat YAML: one `key: value` a line, `#` starts a comment line."""

import json
from pathlib import Path


def load(path):
    lines = (line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
    pairs = (line.split(":", 1) for line in lines if line and not line.startswith("#"))
    return {key.strip(): _value(text.strip()) for key, text in pairs}


def _value(text):
    try:
        return json.loads(text)
    except ValueError:
        return text.strip("'\"")
