"""Frozen values. A change returns a new value; nothing here reads a file, a clock or the network."""
