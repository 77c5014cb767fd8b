"""Words of a job where its directories are called otherwise."""

from __future__ import annotations

import re
from collections.abc import Mapping


def moved(word: str, there: Mapping[str, str]) -> str:
    """A word with the directories of this machine as they are called elsewhere. `/code` is none in `/codex`, or in `host/code`."""
    longest_first = sorted(there, key=len, reverse=True)
    names = "|".join(map(re.escape, longest_first))
    return re.sub(rf"(?<![\w./@-])({names})(?![\w.-])", lambda match: there[match[1]], word)
