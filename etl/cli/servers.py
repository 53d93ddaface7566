"""`cdmflow start` and `cdmflow stop`: PostgreSQL and Airflow of this home."""

from typing import Annotated

import typer

from etl.cli import out


def start(
    airflow: Annotated[bool, typer.Option("--airflow/--no-airflow", help="Airflow beside PostgreSQL.")] = True,
) -> None:
    """Start PostgreSQL and Airflow (scheduler, dag-processor, api-server) of this home, on loopback only."""
    from etl.cli.progress import waiting
    from etl.config import settings
    from etl.pipeline.runs import database
    from etl.services import airflow as service

    configured = settings()
    with waiting("Starting PostgreSQL …"):
        found = database(configured)
    out.print(f"PostgreSQL  {found.psql}", highlight=False, soft_wrap=True)
    if airflow:
        with waiting("Starting Airflow (about 20 s) …") as tell:
            status = service.start(configured, found, progress=tell)
        print_airflow(status)


def print_airflow(status) -> None:  # type: ignore[no-untyped-def]
    out.print(f"Airflow     {status.url}  user {status.user}, password in {status.password_file}",
              highlight=False, soft_wrap=True)  # fmt: skip


def stop() -> None:
    """Stop what this home started: Airflow first, then the embedded PostgreSQL. A server of your own is left alone."""
    from etl.cli.progress import waiting
    from etl.config import settings
    from etl.postgres import stop_server
    from etl.services import airflow

    configured = settings()
    with waiting("Stopping …"):
        stopped = airflow.stop(configured)
        stopped_server = stop_server(configured)
    out.print(f"Airflow {'stopped' if stopped else 'was not running'}, PostgreSQL "
              f"{'stopped' if stopped_server else 'was not running'}.")  # fmt: skip
