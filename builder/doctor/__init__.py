"""What a machine needs before it can build images and run them: checks, each with what to do when it fails."""

from builder.doctor.checks import CHECKS
from builder.doctor.scene import Check, Found, Report, Scene, examine

__all__ = ["CHECKS", "Check", "Found", "Report", "Scene", "examine"]
