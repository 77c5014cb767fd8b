"""Fine-tune a commit, score every action type, report."""

from metaflow import FlowSpec, Parameter, card, current, step

from builder.runs.child_on_argo import task_of
from builder.steps import cards, config, evaluate, finetune, freeze, report


class Finetune(FlowSpec):
    """load config -> fine-tune -> freeze -> evaluate each action type -> join -> report"""

    request = Parameter("request", required=True, help="what to run and where: builder.steps.request.Request, packed")

    @property
    def task(self):
        return task_of(self.request, current.run_id, current.retry_count)

    @step
    def start(self):
        self.config = config.resolve(self.task)
        self.next(self.finetune)

    @step
    def finetune(self):
        self.training = finetune.run(self.task, self.config)
        self.next(self.freeze)

    @step
    def freeze(self):
        self.checkpoint = freeze.run(self.task, self.training)
        self.actions = list(self.task.request.evals)
        self.next(self.evaluate, foreach="actions")

    @step
    def evaluate(self):
        self.evaluation = evaluate.run(self.task, self.config, self.checkpoint, self.input)
        self.next(self.join)

    @step
    def join(self, inputs):
        self.evaluations = report.join(branch.evaluation for branch in inputs)
        self.merge_artifacts(inputs, include=["config", "training"])
        self.next(self.end)

    @card(type="blank")
    @step
    def end(self):
        self.result = report.run(self.task, self.config, self.training, self.evaluations)
        cards.show(current.card, self.task, self.result, self.training)


if __name__ == "__main__":
    Finetune()
