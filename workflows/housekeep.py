"""Clear away what nothing needs any more."""

from metaflow import FlowSpec, Parameter, current, step

from builder.housekeep.flow import run
from builder.steps.request import task_of


class Housekeep(FlowSpec):
    """look at everything once, and remove what nothing needs"""

    request = Parameter("request", required=True, help="what to run and where: builder.steps.request.Request, packed")

    @step(start=True, end=True)
    def start(self):
        run(task_of(self.request, current.run_id, current.retry_count))


if __name__ == "__main__":
    Housekeep()
