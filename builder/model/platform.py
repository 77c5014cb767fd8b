"""A platform as images name it: `linux/amd64`, `linux/arm64/v8`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Platform:
    """`variant` is empty where none is named, which is any. https://github.com/opencontainers/image-spec/blob/v1.1.1/image-index.md"""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """From `os/architecture[/variant]`, as the settings have checked it."""
        os, architecture, *variant = text.split("/")
        return cls(os, architecture, *variant)

    def __str__(self) -> str:
        return "/".join(self.as_json().values())

    def as_json(self) -> dict[str, str]:
        """The keys of an image config, and of an index's entry."""
        parts = {"os": self.os, "architecture": self.architecture, "variant": self.variant}
        return {key: value for key, value in parts.items() if value}

    def fits(self, has: dict[str, Any]) -> bool:
        """Whether an entry of an index, or an image config, is for this platform."""
        return all(has.get(key) == value for key, value in self.as_json().items())
