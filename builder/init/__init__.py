"""Looks at a repository and proposes its builder.toml."""

from builder.init.propose import Proposal, propose, with_dockerfile
from builder.init.render import render
from builder.init.repository import Repository, look

__all__ = ["Proposal", "Repository", "look", "propose", "render", "with_dockerfile"]
