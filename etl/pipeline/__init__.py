"""A run: its steps in order, its record, its ledger. Airflow and the command line call the same functions."""

from etl.pipeline.models import sources
from etl.pipeline.runs import close_run, open_run
from etl.pipeline.steps import GROUPS, Step, steps
from etl.pipeline.tasks import StepResult, run_step

__all__ = ["GROUPS", "Step", "StepResult", "close_run", "open_run", "run_step", "sources", "steps"]
