"""builder: every commit of an ML team's repository as a runnable, digest-pinned image."""

__version__ = "0.1.0"
