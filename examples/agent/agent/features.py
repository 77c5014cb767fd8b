"""Hashed features of goals and of the elements on a screen."""

import re
import zlib


def words(text):
    return re.findall(r"[a-z0-9]+", text.lower())


def of_goal(goal, buckets):
    """What the choice of an action is based on."""
    tokens = words(goal)
    pairs = [f"{a} {b}" for a, b in zip(tokens, tokens[1:])]
    return [_bucket(name, buckets) for name in ["bias", *tokens, *pairs]]


def of_element(goal, element, action, buckets):
    """What the choice of an element for this action is based on."""
    kind, _, label = element.partition(": ")
    asked, offered = set(words(goal)), words(label)
    shared = sum(word in asked for word in offered)
    names = [f"{action} {kind}", f"shared {shared} of {len(offered)}", f"{action} shared {min(shared, 2)}"]
    return [_bucket(name, buckets) for name in names]


def _bucket(name, buckets):
    return zlib.crc32(name.encode()) % buckets
