"""Logging: ids and counts only, one line an event."""

import logging


def get_logger(name: str) -> logging.Logger:
    """The logger of a module; handlers are the caller's (rich on the command line, Airflow's in a task)."""
    return logging.getLogger(name)
