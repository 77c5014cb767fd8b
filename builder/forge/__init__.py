"""What the forge, where the pull requests are, is told of images: a status for each commit, one comment for each pull request."""

from builder.forge.here import Here, where_we_are
from builder.forge.interface import Forge, Pull, Status
from builder.forge.open import open_forge

__all__ = ["Forge", "Here", "Pull", "Status", "open_forge", "where_we_are"]
