"""The one reader of builder.toml and of the environment. What it returns is frozen and handed down.

`load` gives the settings in force; `at_commit` what holds for one commit; `image_key` what of them changes an image.
"""

from builder.settings.checks import seconds
from builder.settings.devbox import DevboxSettings
from builder.settings.effective import at_commit, image_key
from builder.settings.flows import ErrorSettings, ExternalSettings, FlowSettings, ScoreSettings
from builder.settings.keeping import GcSettings, HousekeepSettings, WatchSettings
from builder.settings.load import ENVIRONMENT, FILE, load
from builder.settings.pipelines import CiSettings
from builder.settings.running import (
    DataSettings,
    DeploySettings,
    DockerSettings,
    ForgeSettings,
    JobSetSettings,
    LaunchSettings,
    MetaflowSettings,
    NotifySettings,
    PodSettings,
    QueueSettings,
    RunSettings,
    ScheduleSettings,
    SlurmSettings,
    TrackerSettings,
)
from builder.settings.tables import DepsSettings, ImageSettings, Settings, StoreSettings, Tables

__all__ = [
    "ENVIRONMENT",
    "FILE",
    "CiSettings",
    "DataSettings",
    "DeploySettings",
    "DepsSettings",
    "DevboxSettings",
    "DockerSettings",
    "ErrorSettings",
    "ExternalSettings",
    "FlowSettings",
    "ForgeSettings",
    "GcSettings",
    "HousekeepSettings",
    "ImageSettings",
    "JobSetSettings",
    "LaunchSettings",
    "MetaflowSettings",
    "NotifySettings",
    "PodSettings",
    "QueueSettings",
    "RunSettings",
    "ScheduleSettings",
    "ScoreSettings",
    "Settings",
    "SlurmSettings",
    "StoreSettings",
    "Tables",
    "TrackerSettings",
    "WatchSettings",
    "at_commit",
    "image_key",
    "load",
    "seconds",
]
