"""Train at a commit, on many nodes if the settings say so, and start the flow that goes on with the checkpoint."""

from metaflow import FlowSpec, Parameter, card, current, step

from builder.runs.child_on_argo import task_of
from builder.steps import cards, config, finetune, freeze, handover, report


class Train(FlowSpec):
    """load config -> train -> freeze -> start what goes on with the checkpoint -> report"""

    request = Parameter("request", required=True, help="what to run and where: builder.steps.request.Request, packed")

    @property
    def task(self):
        return task_of(self.request, current.run_id, current.retry_count)

    @step
    def start(self):
        self.config = config.resolve(self.task)
        self.next(self.train)

    @step
    def train(self):
        self.training = finetune.run(self.task, self.config, "train")
        self.next(self.freeze)

    @step
    def freeze(self):
        self.checkpoint = freeze.run(self.task, self.training)
        self.next(self.handover)

    @step
    def handover(self):
        self.children = handover.run(self.task, self.checkpoint)
        self.next(self.end)

    @card(type="blank")
    @step
    def end(self):
        self.result = report.run(self.task, self.config, self.training, ())
        cards.show(current.card, self.task, self.result, self.training)


if __name__ == "__main__":
    Train()
