"""`cdmflow test`: the whole test suite."""

import subprocess
import sys
from typing import Annotated

import typer

from etl.config import PROJECT


def test(
    arguments: Annotated[list[str] | None, typer.Argument(help="Passed on to pytest, e.g. tests/sql -k era.")] = None,
    long: Annotated[bool, typer.Option("--long", help="Properties and faults in their full size.")] = False,
) -> None:
    """Run the test suite: unit, SQL, properties, faults, integration, a real Airflow (minutes on 2 cores)."""
    command = [sys.executable, "-m", "pytest", *(["--long"] if long else []), *(arguments or [])]
    raise typer.Exit(subprocess.run(command, cwd=PROJECT, check=False).returncode)
