"""The request of a run, kept with it: `runs/<run>/request.json`. Whoever goes on with the run, or repeats it, reads it there."""

from __future__ import annotations

import json

from builder.data.interface import Objects
from builder.errors import DataError
from builder.steps.publish import published
from builder.steps.request import Request
from builder.steps.root import objects_of

_FILE = "request.json"


def keep_request(request: Request) -> None:
    """Done by whoever starts the run, and by its first step: a nightly has no starter."""
    data = json.dumps(request.to_json(), indent=1, sort_keys=True).encode()
    objects_of(request).put(published(request.run, "", _FILE), data, new=True)


def kept_request(objects: Objects, run: str) -> Request:
    """Raises DataError when it is not there, or cannot be read."""
    import msgspec

    key = published(run, "", _FILE)
    data = objects.get(key)
    if data is None:
        raise DataError(f"{objects.url(key)} is not there: nothing says what exactly {run} was", "start it anew: builder run FLOW@REV")
    try:
        return Request.from_json(json.loads(data))
    except (ValueError, msgspec.ValidationError) as error:
        raise DataError(f"{objects.url(key)} cannot be read: {error}", "another version of builder wrote it: use that one") from error
