"""A linear softmax for the action, and one for the element."""

import json
import math
from pathlib import Path

from agent import features


class Model:
    def __init__(self, actions, buckets):
        self.actions = actions
        self.buckets = buckets
        self.action_weights = {action: [0.0] * buckets for action in actions}
        self.element_weights = [0.0] * buckets

    def predict(self, goal, screen):
        """The action, and the index of the element to act on."""
        chances, _ = self._actions(goal)
        action = self.actions[_best(chances)]
        chances, _ = self._elements(goal, screen, action)
        return action, _best(chances)

    def learn(self, sample, lr):
        """One step of gradient descent; the cross-entropy before it."""
        chances, active = self._actions(sample["goal"])
        wanted = self.actions.index(sample["action"])
        for index, action in enumerate(self.actions):
            _descend(self.action_weights[action], active, lr * (chances[index] - (index == wanted)))
        loss = -math.log(max(chances[wanted], 1e-12))
        chances, rows = self._elements(sample["goal"], sample["screen"], sample["action"])
        for index, row in enumerate(rows):
            _descend(self.element_weights, row, lr * (chances[index] - (index == sample["target"])))
        return loss - math.log(max(chances[sample["target"]], 1e-12))

    def _actions(self, goal):
        active = features.of_goal(goal, self.buckets)
        return _softmax([_dot(self.action_weights[action], active) for action in self.actions]), active

    def _elements(self, goal, screen, action):
        rows = [features.of_element(goal, element, action, self.buckets) for element in screen]
        return _softmax([_dot(self.element_weights, row) for row in rows]), rows

    def save(self, directory):
        Path(directory).mkdir(parents=True, exist_ok=True)
        state = {"actions": self.actions, "buckets": self.buckets}
        state["action_weights"] = {action: _sparse(weights) for action, weights in self.action_weights.items()}
        state["element_weights"] = _sparse(self.element_weights)
        (Path(directory) / "model.json").write_text(json.dumps(state, sort_keys=True), encoding="utf-8")


def load(directory):
    state = json.loads((Path(directory) / "model.json").read_text(encoding="utf-8"))
    model = Model(state["actions"], state["buckets"])
    for action, weights in state["action_weights"].items():
        _fill(model.action_weights[action], weights)
    _fill(model.element_weights, state["element_weights"])
    return model


def _softmax(scores):
    top = max(scores)
    powers = [math.exp(score - top) for score in scores]
    total = sum(powers)
    return [power / total for power in powers]


def _best(chances):
    return chances.index(max(chances))


def _dot(weights, active):
    return sum(weights[index] for index in active)


def _descend(weights, active, amount):
    for index in active:
        weights[index] -= amount


def _sparse(weights):
    return {str(index): round(weight, 6) for index, weight in enumerate(weights) if weight}


def _fill(weights, sparse):
    for index, weight in sparse.items():
        weights[int(index)] = weight
