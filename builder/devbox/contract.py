"""What a box is told, and by which words; read by those who make its pod and by what serves it inside."""

from __future__ import annotations

PORT = 2222
"""Where it listens, in the pod alone: nothing but Kubernetes' own port-forward leads there."""

USER = "dev"
"""Whom ssh asks for. Who that is inside, the image says."""

HOME = "/home/dev"
WORK = "/builder-work"
"""A directory of the box's own; nothing of the team's is in it, so Python may be started there."""

KEYS, IDLE, SHELL = "BUILDER_DEVBOX_KEYS", "BUILDER_DEVBOX_IDLE", "BUILDER_DEVBOX_SHELL"
"""Variables of the pod: public keys, seconds, the shell."""

TREE, TEAM_PATH = "BUILDER_TREE", "BUILDER_TEAM_PYTHONPATH"
"""Where the commit's files are, and the image's own PYTHONPATH: the box runs on this tool's, a shell in it on the team's."""

OWN = (KEYS, IDLE, SHELL, TREE, TEAM_PATH, "PYTHONPATH")
"""Variables that a shell inside does not see as they are here."""

HOST_KEY = "host key: "
"""Begins the line of the pod's log by which whoever may read it knows the host."""

IDLE_SINCE, BUSY = "idle: ", "busy"
"""Begin the lines of its log that say how it stands."""
