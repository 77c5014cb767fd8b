"""Predicts the next action on a user interface."""
