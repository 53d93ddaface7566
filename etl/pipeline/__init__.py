"""A run: its steps in order, its record, its ledger. Airflow and the command line call the same functions."""

from etl.pipeline.models import sources
from etl.pipeline.steps import GROUPS, Step, steps

__all__ = ["GROUPS", "Step", "sources", "steps"]
