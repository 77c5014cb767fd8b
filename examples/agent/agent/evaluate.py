"""python -m agent.evaluate --action click --checkpoint runs/last"""

import argparse

from agent import config, data, metrics, model


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--action", required=True)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--config", default="configs/finetune.yaml")
    options = parser.parse_args()
    trained = model.load(options.checkpoint)
    steps = data.samples(config.load(options.config)["data"], options.action, "test")
    right = sum(trained.predict(step["goal"], step["screen"]) == (step["action"], step["target"]) for step in steps)
    metrics.report(len(steps), "score", right / len(steps))


if __name__ == "__main__":
    main()
