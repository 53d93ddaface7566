"""`cdmflow backfill`: nights of the past brought again, through Airflow, with a plan first."""

from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from etl.cli import err, out, show

MOST_TABLES = 4
ORIGINS = {
    "folder": "drop folder",
    "database": "source database",
    "batches": "landed batches",
    "nothing": "nothing there",
}


def backfill(
    first: Annotated[str, typer.Option("--from", help="The first night, e.g. 2026-03-01.")],
    last: Annotated[str, typer.Option("--to", help="The last night; the same as --from for one.")],
    persons: Annotated[
        Path | None, typer.Option(help="File of person_ids, one a line: make these again, not the nights' own.")
    ] = None,
    source: Annotated[str, typer.Option(help="A folder under sources/, e.g. synthea.")] = "synthea",
    failed: Annotated[bool, typer.Option("--failed", help="Only nights without a successful run in Airflow.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
) -> None:
    """Bring the nights from one date to another again, one after the other, through Airflow's backfill.

    A night comes from its drop folder (CDMFLOW_INCOMING/<date>), else from the source database (tables whose watermark
    is a date or time), else from the batches that were landed of it. What a dated folder delivered before is replaced;
    an old night goes over no newer one. Its persons are made again and published, each night as a release.

    Safe beside the nightly load: one run at a time, the others wait. Stopped in the middle, the same command goes on
    with it. Exit code 1 where a night failed, 3 where the gate refused one, 4 beside another backfill.
    """
    from etl.cli.progress import waiting
    from etl.config import settings
    from etl.pipeline.backfill import plan_backfill
    from etl.pipeline.runs import database

    begin, end = _date(first, "--from"), _date(last, "--to")
    with waiting("Looking at the nights …"):
        database(settings())
        plan = plan_backfill(source, begin, end, persons)
    print_plan(plan)
    if dry_run:
        out.print("Nothing was started. Without --dry-run these nights are brought again.")
        return
    if all(night.origin == "nothing" for night in plan.nights) and persons is None:
        out.print("There is nothing to bring again.")
        return
    run_in_airflow(source, begin, end, persons, only_failed=failed)


def _date(text: str, option: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date: write it as 2026-03-01.", param_hint=f"'{option}'") from None


def print_plan(plan: Any) -> None:
    """The nights as a table, then what is at work and how long all may take."""
    lines = []
    for night in plan.nights:
        batches = f"{len(night.batch_ids)} ({_ids(night.batch_ids)})" if night.batch_ids else ""
        persons = "?" if night.persons is None else f"{night.persons:,}"
        seconds = "" if night.seconds is None else f"{night.seconds:.0f} s"
        lines.append((night.night, ORIGINS[night.origin], batches, persons, _rows(night.rows), seconds))
    names = ("night", "from", "landed batches", "persons", "rows per table", "estimate")
    show.table("Backfill", names, lines, numbers=[3, 5])
    out.print(
        f"{len(plan.nights)} nights, {plan.persons_held:,} persons held. At work now: "
        f"{', '.join(plan.at_work) or 'nothing'}. "
        + (f"Estimate: {plan.seconds:.0f} s, as the last runs took." if plan.seconds else "No run tells how long."),
        highlight=False,
        soft_wrap=True,
    )


def _ids(batch_ids: tuple[int, ...]) -> str:
    return f"{batch_ids[0]}" if len(batch_ids) == 1 else f"{batch_ids[0]}…{batch_ids[-1]}"


def _rows(rows: Any) -> str:
    if rows is None:
        return "?"
    largest = sorted(rows.items(), key=lambda item: -item[1])
    more = len(largest) - MOST_TABLES
    told = ", ".join(f"{table} {count:,}" for table, count in largest[:MOST_TABLES])
    return told + (f" and {more} more tables" if more > 0 else "")


def run_in_airflow(source: str, first: date, last: date, persons: Path | None, *, only_failed: bool) -> None:
    """Start Airflow if need be, let it run the nights, follow them and print what became of each."""
    from etl.cli.progress import waiting
    from etl.config import settings
    from etl.pipeline.backfill import LOADED_AT
    from etl.pipeline.runs import database, new_run_id
    from etl.services import airflow, airflow_runs

    configured = settings()
    with waiting("Starting Airflow …") as tell:
        airflow.start(configured, database(configured), progress=tell)
    begin, end = datetime.combine(first, LOADED_AT), datetime.combine(last, LOADED_AT)
    conf = {"backfill": f"b{new_run_id()}", "persons_file": str(persons.resolve()) if persons else None}
    dag_id = f"cdmflow_nightly_{source}"
    with waiting("Asking Airflow for the backfill …"):
        started = airflow_runs.backfill(configured, dag_id, begin, end, conf, only_failed=only_failed)
    if not started.runs:
        out.print("Every night of these has a successful run in Airflow.")
        return
    if started.conf_id != conf["backfill"]:
        out.print("These nights are under way already: going on with them.")
    ended = _followed(configured, dag_id, started, begin, end)
    finish(source, ended)


def _followed(configured: Any, dag_id: str, started: Any, begin: datetime, end: datetime) -> Any:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from etl.services import airflow_runs

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as bars:
        bar = bars.add_task("Airflow runs the nights", total=len(started.runs))

        def update(now: Any) -> None:
            done = [night for night, run in now.runs.items() if run.finished]
            running = [night[:10] for night, run in now.runs.items() if run.state == "running"]
            bars.update(
                bar, completed=len(done), total=len(now.runs), description=", ".join(running) or "Airflow queues"
            )

        return airflow_runs.follow_backfill(configured, dag_id, started, begin, end, update)


def finish(source: str, ended: Any) -> None:
    """Print what became of every night. Raises GateRefused or CdmflowError where one did not succeed."""
    from etl.errors import CdmflowError, GateRefused, UsageError
    from etl.pipeline.runs import load_run
    from etl.services.airflow_runs import pipeline_run_id

    lines, failed = [], []
    for night, dag_run in ended.runs.items():
        try:
            run = load_run(pipeline_run_id(source, dag_run.run_id, ended.conf_id))
            status, scope, message = run.status, run.scope, run.message or ""
        except UsageError:
            status, scope, message = "failed", "", "no run was opened: see the task open_run in Airflow"
        lines.append((night[:10], status, {"all": "everybody", "persons": "some persons"}.get(scope, ""), message))
        if dag_run.state != "success":
            failed.append(status)
    show.table("Nights", ("night", "status", "made again", ""), lines)
    if failed:
        kind = GateRefused if "refused" in failed else CdmflowError
        raise kind(
            f"{len(failed)} of {len(lines)} nights did not succeed.",
            state="They changed nothing; the others are published.",
            todo="Mend what their runs tell, then run the same command with --failed.",
        )
