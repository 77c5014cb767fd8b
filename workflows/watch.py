"""Tell of jobs, workflows and runs that nobody else tells of."""

from metaflow import FlowSpec, Parameter, current, step

from builder.steps.request import task_of
from builder.watch.flow import run


class Watch(FlowSpec):
    """look at everything once, and tell what is new"""

    request = Parameter("request", required=True, help="what to run and where: builder.steps.request.Request, packed")

    @step(start=True, end=True)
    def start(self):
        run(task_of(self.request, current.run_id, current.retry_count))


if __name__ == "__main__":
    Watch()
