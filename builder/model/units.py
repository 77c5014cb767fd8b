"""Numbers as people read them."""

from __future__ import annotations


def size(count: int) -> str:
    """`512 B`, `1.2 MB`: powers of 1000, as disks and registries are sold."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.95 or unit == "TB":
            break
    return f"{value:.1f} {unit}"
