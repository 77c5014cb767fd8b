"""Clear away what nothing needs any more, and write the page of what there is."""

from metaflow import FlowSpec, Parameter, current, step

from builder.housekeep.flow import run
from builder.page.flow import run as write_page
from builder.steps.request import task_of


class Housekeep(FlowSpec):
    """look at everything once, remove what nothing needs, and write the page"""

    request = Parameter("request", required=True, help="what to run and where: builder.steps.request.Request, packed")

    @step(start=True, end=True)
    def start(self):
        task = task_of(self.request, current.run_id, current.retry_count)
        try:
            run(task)
        finally:
            write_page(task)


if __name__ == "__main__":
    Housekeep()
