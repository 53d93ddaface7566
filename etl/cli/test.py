"""`cdmflow test`: the whole test suite."""

import subprocess
import sys
from typing import Annotated

import typer

from etl.config import PROJECT

# Two files of tests at a time, each process with its own servers, in the order of the folders: the long ones are in the
# middle, so that neither process waits for the other at the end.
WHOLE_SUITE = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]


def test(
    arguments: Annotated[list[str] | None, typer.Argument(help="Passed on to pytest, e.g. tests/sql -k era.")] = None,
    long: Annotated[bool, typer.Option("--long", help="Properties and faults in their full size.")] = False,
) -> None:
    """Run the test suite: unit, SQL, properties, faults, integration, a real Airflow (minutes on 2 cores)."""
    chosen = arguments or WHOLE_SUITE
    command = [sys.executable, "-m", "pytest", *(["--long"] if long else []), *chosen]
    raise typer.Exit(subprocess.run(command, cwd=PROJECT, check=False).returncode)
