"""Work for others than the run itself: it may take so long and no longer, and nothing that goes wrong in it fails the step."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

from builder.errors import BuilderError

NAME = "builder-aside"


def aside(work: Callable[[], str], limit: float, failing: str) -> tuple[str, str]:
    """What `work` returns, and what went wrong, which is printed as well; one of the two is empty. It has `limit` seconds.

    The one place where whatever goes wrong ends. Only our own errors are repeated: others may quote a URL, which can be a secret.
    """
    done: list[tuple[str, str]] = []
    thread = threading.Thread(target=lambda: done.append(_tried(work)), name=NAME, daemon=True)
    thread.start()
    thread.join(limit)
    found, problem = done[0] if done else ("", f"no answer within {limit:.0f} s")
    if problem:
        sys.stderr.write(f"builder: {failing}: {problem}\n")
        sys.stderr.flush()
    return found, f"{failing}: {problem}" if problem else ""


def _tried(work: Callable[[], str]) -> tuple[str, str]:
    try:
        return work(), ""
    except BuilderError as error:
        return "", f"{error.message}; {error.hint}" if error.hint else error.message
    except Exception as error:  # noqa: BLE001 - what others are told is never worth a run
        return "", type(error).__name__
