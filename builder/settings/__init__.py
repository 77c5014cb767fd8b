"""The one reader of builder.toml and of the environment. What it returns is frozen and handed down.

`load` gives the settings in force; `at_commit` what holds for one commit; `image_key` what of them changes an image.
"""

from builder.settings.effective import at_commit, image_key
from builder.settings.load import ENVIRONMENT, FILE, load
from builder.settings.tables import (
    DataSettings,
    DepsSettings,
    FlowSettings,
    ImageSettings,
    RunSettings,
    ScoreSettings,
    Settings,
    StoreSettings,
    Tables,
)

__all__ = [
    "ENVIRONMENT",
    "FILE",
    "DataSettings",
    "DepsSettings",
    "FlowSettings",
    "ImageSettings",
    "RunSettings",
    "ScoreSettings",
    "Settings",
    "StoreSettings",
    "Tables",
    "at_commit",
    "image_key",
    "load",
]
