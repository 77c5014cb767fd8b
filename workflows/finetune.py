"""Fine-tune a commit, score every action type, report."""

from metaflow import FlowSpec, JSONType, Parameter, step

from builder.steps import config, evaluate, finetune, report


class Finetune(FlowSpec):
    """load config -> fine-tune -> evaluate each action type -> join -> report"""

    request = Parameter("request", type=JSONType, required=True, help="what to run and where: builder.model.run.Request as JSON")

    @step
    def start(self):
        self.config = config.resolve(self.request)
        self.next(self.finetune)

    @step
    def finetune(self):
        self.training = finetune.run(self.request, self.config)
        self.actions = evaluate.action_types(self.request)
        self.next(self.evaluate, foreach="actions")

    @step
    def evaluate(self):
        self.evaluation = evaluate.run(self.request, self.config, self.training, self.input)
        self.next(self.join)

    @step
    def join(self, inputs):
        self.evaluations = [branch.evaluation for branch in inputs]
        self.merge_artifacts(inputs, include=["config", "training"])
        self.next(self.end)

    @step
    def end(self):
        self.result = report.run(self.request, self.config, self.training, self.evaluations)


if __name__ == "__main__":
    Finetune()
