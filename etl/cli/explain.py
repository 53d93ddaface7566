"""`cdmflow explain person`: one person's records as the source wrote them, beside the CDM's."""

from datetime import date
from typing import Annotated

import typer

from etl.cli import out, show
from etl.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="Show how something of the CDM came about.")


@app.callback()
def explain() -> None:
    """Show how something of the CDM came about."""


@app.command("person")
def person(
    person_id: Annotated[int, typer.Argument(help="From cdm.person.")],
    first: Annotated[str | None, typer.Option("--from", metavar="DATE", help="Not before this day.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="DATE", help="Not after this day.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Lines to show.")] = 200,
    run: Annotated[str | None, typer.Option(help="A run's id; else the one of the current release.")] = None,
) -> None:
    """One person's timeline: each source record, and the CDM rows that were made of it.

    Lines without a source are derived rows (eras, observation periods, deaths); lines without a CDM row say which rule
    kept the record out, or which row it went into. Costs and places are not shown: ./cdmflow trace shows those.
    Columns that identify the person are never landed, so none is here.
    """
    from etl.pipeline.explain import explain_person

    found = explain_person(person_id, first=_day(first), last=_day(last), limit=limit, run_id=run)
    version = f"release {found.release} (run {found.run_id})" if found.release else f"run {found.run_id}, not published"
    names = ("date", "source", "record", "code", "name", "CDM table", "id", "concept", "")
    show.table(
        f"Person {person_id} in {version}",
        names,
        [
            (
                str(line.day or ""), line.source_table, str(line.record_no or ""), line.code, line.name,
                line.cdm_table, str(line.cdm_id or ""), line.concept, line.outcome,
            )
            for line in found.lines
        ],
        numbers=[2, 6],
    )  # fmt: skip
    if found.total > len(found.lines):
        out.print(
            f"{len(found.lines):,} of {found.total:,} lines; see more with --limit, or less with --from and --to."
        )


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a date.", todo="Write it as 2026-11-23.") from None
