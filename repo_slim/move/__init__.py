"""Moves a clone of before onto the history of now: branches, tags and stashes that nobody else has go along, and nothing is lost."""
