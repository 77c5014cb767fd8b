"""Tells people what becomes of runs."""
