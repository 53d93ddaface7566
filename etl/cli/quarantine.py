"""`cdmflow quarantine`: rows that the gate or the landing refused; what they are, tried again, accepted."""

import csv
import os
import pwd
import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from etl.cli import err, out, show

if TYPE_CHECKING:
    from etl.pipeline.retry import Attempt

app = typer.Typer(
    no_args_is_help=True,
    help="""Source rows that a critical check refused, and records that landing turned away, until they are right.

    A row leaves by itself once a run has judged it and it no longer violates. Rows and ids only, never a value.
    """,
)
SHOWN = 50
CSV_HEADER = (
    "id", "source", "table", "source_row_id", "batch", "file", "record", "line", "check", "reason", "first_run",
    "first_seen", "last_run", "nights", "accepted_by", "accepted_at", "accepted_reason",
)  # fmt: skip


@app.command("list")
def list_rows(
    source: Annotated[str | None, typer.Option(help="Only of this source.")] = None,
    check: Annotated[str | None, typer.Option(help="The rows of one check, each with its id.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Every row as CSV, with its id.")] = False,
) -> None:
    """Show what waits, by source table and check."""
    from etl.cli.progress import waiting
    from etl.config import settings
    from etl.pipeline.quarantine import waiting_rows
    from etl.pipeline.runs import database

    with waiting("Starting PostgreSQL …"):
        database(settings())
        rows = waiting_rows(source, check)
    if as_csv:
        print_csv(rows)
    elif not rows:
        out.print("Nothing is in quarantine.")
    elif check is not None:
        print_rows(rows)
    else:
        print_groups(rows)


def print_csv(rows: Any) -> None:
    """Every row, with all that is known of it."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    for row in rows:
        writer.writerow((
            row.quarantine_id, row.source, row.table_name, row.source_row_id, row.batch_id, row.file, row.record,
            row.line, row.check_id, row.reason, row.first_run, row.first_seen, row.last_run, row.nights,
            row.accepted_by, row.accepted_at, row.accepted_reason,
        ))  # fmt: skip


def print_groups(rows: Any) -> None:
    """One line for each source table and check."""
    groups: dict[tuple[str, str, str], list[Any]] = {}
    for row in rows:
        groups.setdefault((row.source, row.table_name, row.check_id), []).append(row)
    lines = [
        (
            table,
            check,
            len(found),
            f"{min(row.first_seen for row in found):%Y-%m-%d}",
            max(row.nights for row in found),
            sum(row.accepted_at is not None for row in found),
            str(found[0].quarantine_id),
        )
        for (_, table, check), found in groups.items()
    ]
    names = ("source table", "check", "rows", "first seen", "nights", "accepted", "first id")
    show.table("Quarantine", names, lines, numbers=[2, 4, 5, 6])
    out.print("Next: ./cdmflow quarantine show ID, list --check CHECK, retry --all", highlight=False)


def print_rows(rows: Any) -> None:
    """The rows of a check with their ids, the first of them."""
    lines = [
        (
            str(row.quarantine_id),
            row.table_name,
            str(row.source_row_id) if row.batch_id is None else f"{row.file}, line {row.line}",
            f"{row.first_seen:%Y-%m-%d %H:%M}",
            row.nights,
            row.accepted_by or "",
        )
        for row in rows[:SHOWN]
    ]
    title = f"{rows[0].check_id}: {len(rows):,} rows" + (
        f", {SHOWN} shown (--csv for all)" if len(rows) > SHOWN else ""
    )
    show.table(title, ("id", "source table", "row", "first seen", "nights", "accepted by"), lines, numbers=[0, 4])


@app.command("show")
def show_row(
    number: Annotated[int, typer.Argument(metavar="ID", help="As ./cdmflow quarantine list shows it.")],
) -> None:
    """Show one row: where it came from, what refused it, the CDM rows concerned, how to look at it."""
    from etl.cli.progress import waiting
    from etl.config import settings
    from etl.pipeline.quarantine import describe
    from etl.pipeline.runs import database

    with waiting("Starting PostgreSQL …"):
        database(settings())
        found = describe(number)
    row = found.row
    kind = "Rejected record" if row.batch_id is not None else "Source row"
    out.print(f"Quarantine {number}: {kind.lower()} of {row.source}.{row.table_name}", style="bold", highlight=False)
    facts = [
        ("row", "" if row.source_row_id is None else str(row.source_row_id)),
        ("file", found.file or "its batch is not known any more"),
        ("line", "" if found.line is None else f"{found.line} (record {found.record})"),
        ("batch", "" if found.batch_id is None else str(found.batch_id)),
        ("check", row.check_id),
        ("reason", row.reason),
        ("first seen", f"{row.first_seen:%Y-%m-%d %H:%M} in run {row.first_run}"),
        ("last seen", f"in run {row.last_run}"),
        ("nights", str(row.nights)),
        ("CDM rows", ", ".join(f"{table} {row_id}" for table, row_id in found.cdm)),
        ("accepted", f"by {row.accepted_by} at {row.accepted_at:%Y-%m-%d %H:%M}" if row.accepted_at else ""),
        ("because", row.accepted_reason or ""),
    ]
    for name, value in facts:
        if value:
            out.print(f"  {name:<11}{value}", highlight=False, markup=False, soft_wrap=True)
    if found.line is not None:
        look = f"./cdmflow trace --source {shlex.quote(found.file or '')} --line {found.line} --run {row.last_run}"
        out.print(f"Look at it: {look}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def accept(
    numbers: Annotated[list[int], typer.Argument(metavar="ID…", help="As ./cdmflow quarantine list shows them.")],
    reason: Annotated[str, typer.Option(help="Why these rows are right as they are. No patient's data.")],
) -> None:
    """Say that rows are right as they are: they no longer count against their check. Who, when and why is kept.

    Not for what PostgreSQL enforces (required, length, keys), nor for records that did not land.
    """
    from etl.cli.progress import waiting
    from etl.config import settings
    from etl.pipeline.quarantine import accept as accept_rows
    from etl.pipeline.runs import database

    with waiting("Starting PostgreSQL …"):
        database(settings())
        done = accept_rows(numbers, reason, user())
    out.print(
        f"{done:,} rows accepted. Bring their night: ./cdmflow quarantine retry {' '.join(map(str, numbers[:5]))}"
    )


def user() -> str:
    """The account that gives the command."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


@app.command()
def retry(
    numbers: Annotated[
        list[int] | None, typer.Argument(metavar="[ID]…", help="As ./cdmflow quarantine list shows them.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Everything that waits.")] = False,
    source: Annotated[str | None, typer.Option(help="With --all: only of this source.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Steps at a time; the result does not depend on it.")
    ] = None,
) -> None:
    """Try rows again, with today's SQL, maps and contract, without a new delivery.

    Rows of the gate: the refused night's landed batches are made and judged again on top of the current release.
    Rejected records: their file is landed again where it still is what was landed and the contract has changed.
    Published, exit code 0 and the rows are gone; refused again, exit code 3 and they stay.
    """
    from etl.cli.progress import waiting
    from etl.config import settings
    from etl.errors import UsageError
    from etl.pipeline.quarantine import in_quarantine, waiting_rows
    from etl.pipeline.retry import plan_retry
    from etl.pipeline.runs import database

    if bool(numbers) == every:
        raise typer.BadParameter("give ids, or --all.", param_hint="'ID' / '--all'")
    with waiting("Looking at what can be tried again …"):
        database(settings())
        rows = waiting_rows(source) if every else in_quarantine(numbers or [])
        plan = plan_retry(rows)
    if not plan.attempts:
        raise UsageError(
            "\n".join(plan.impossible) or "Nothing is in quarantine.",
            state="Nothing was tried again.",
            todo="./cdmflow quarantine show ID tells where a row came from." if rows else "",
        )
    for why in plan.impossible:
        err.print(f"Not tried again: {why}", highlight=False, markup=False)
    refused = [error for attempt in plan.attempts if (error := run_attempt(attempt, workers)) is not None]
    if refused:
        raise refused[-1]


def run_attempt(attempt: "Attempt", workers: int | None) -> Any:
    """Take an attempt through all steps with live progress; the refusal where the gate refused it again."""
    from etl.cli.progress import steps_progress
    from etl.cli.run import refuse_beside_airflow
    from etl.cli.summary import print_summary
    from etl.errors import GateRefused
    from etl.pipeline import steps
    from etl.pipeline.execute import run_steps
    from etl.pipeline.retry import open_retry
    from etl.pipeline.runs import opening

    with opening():
        refuse_beside_airflow()
        run_id = open_retry(attempt)
    what = f"the batches of run {attempt.refused}" if attempt.refused else "the current release"
    landed = f", {', '.join(attempt.tables)} landed again" if attempt.tables else ""
    out.print(f"Run [bold]{run_id}[/bold]: {attempt.rows:,} rows again, {what}{landed}", highlight=False)
    try:
        with steps_progress(len(steps(attempt.source))) as tell:
            run_steps(run_id, workers=workers, progress=tell)
    except GateRefused as error:
        return error
    print_summary(run_id)
    return None
