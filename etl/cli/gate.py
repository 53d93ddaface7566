"""`cdmflow gate`: let a failing check through until a day, with a reason; see and withdraw what was let through."""

from typing import Annotated, Any

import typer

from etl.cli import out, show

MOST_NAMED = 5

app = typer.Typer(no_args_is_help=True, help="Let a failing check through for a time, with a reason that is kept.")


@app.command()
def override(
    check: Annotated[
        str,
        typer.Argument(help="A check's id as the refusal names it; * for any text: 'drift.rows.*'.", metavar="CHECK"),
    ],
    reason: Annotated[str, typer.Option(help="Why it may fail. Nothing about a patient: it stands in every report.")],
    until: Annotated[str, typer.Option(help="The last day on which it holds (UTC), at most 366 days ahead.")],
) -> None:
    """Let a check fail until a day without stopping the publish. It is counted and reported as before.

    Who, when, why and until when are kept. What PostgreSQL enforces and the account of rows cannot be overridden. A run
    that was refused is judged again by ./cdmflow run --resume.
    """
    from etl.pipeline.overrides import make_override

    made, named = make_override(check, reason, until)
    out.print(f"Override {made.override_id}: until {made.until} these may fail:", highlight=False)
    for check_id in named[:MOST_NAMED]:
        out.print(f"  {check_id}", highlight=False, markup=False)
    if len(named) > MOST_NAMED:
        out.print(f"  … and {len(named) - MOST_NAMED:,} more")
    out.print(f"Made by {made.made_by}; ./cdmflow gate withdraw {made.override_id} ends it.", highlight=False)


@app.command()
def overrides() -> None:
    """List every override that was made: what, why, until when, by whom, and whether it still holds."""
    from rich.markup import escape

    from etl.pipeline.overrides import all_overrides, today

    found = all_overrides()
    if not found:
        out.print("No check was ever overridden.")
        return
    day = today()
    rows = [
        (str(one.override_id), one.check_id, _state(one, day), str(one.until), escape(one.reason), one.made_by,
         f"{one.made_at:%Y-%m-%d %H:%M}")
        for one in found
    ]  # fmt: skip
    show.table("Overrides", ("", "check", "", "until", "reason", "by", "made"), rows)


@app.command()
def withdraw(
    number: Annotated[int, typer.Argument(help="Its number, as ./cdmflow gate overrides lists it.", metavar="ID")],
) -> None:
    """End an override now. It stays in the list."""
    from etl.pipeline.overrides import withdraw as end

    ended = end(number)
    out.print(f"Override {ended.override_id} of {ended.check_id} is withdrawn.", highlight=False, markup=False)


def _state(override: Any, day: Any) -> str:
    if override.withdrawn_at is not None:
        return "withdrawn"
    return "holds" if override.holds(day) else "expired"
