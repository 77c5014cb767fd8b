"""python -m agent.train --config configs/finetune.yaml"""

import argparse
import os
import random

from agent import config, data, metrics
from agent.model import Model


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", required=True)
    settings = config.load(parser.parse_args().config)
    actions = data.action_types(settings["data"])
    model = Model(actions, settings["buckets"])
    steps = [sample for action in actions for sample in data.samples(settings["data"], action, "train")]
    shuffle = random.Random(settings["seed"]).shuffle
    for epoch in range(1, settings["epochs"] + 1):
        shuffle(steps)
        losses = [model.learn(sample, settings["lr"]) for sample in steps]
        metrics.report(epoch, "loss", sum(losses) / len(losses))
    model.save(os.environ.get("BUILDER_CHECKPOINT", "runs/last"))


if __name__ == "__main__":
    main()
