"""`cdmflow diff`, `rollback`, `clean`: what releases changed, serving an older one again, and what may go."""

from typing import Annotated, Any

import typer

from etl.cli import out, show


def diff(
    older: Annotated[int, typer.Argument(help="A release's number, e.g. 3.", metavar="A")],
    newer: Annotated[int, typer.Argument(help="Another one, e.g. 4.", metavar="B")],
) -> None:
    """Show which rows release B added, changed and removed against release A, and why.

    Causes: new data, correction and deletion are those of the row's own source row; merge is of persons merged or
    taken apart; mapping and rule say that vocabulary, maps or SQL differ; a row that follows is of a person another of
    whose rows changed, or hangs on the cut-off.
    """
    from etl.cli.progress import waiting
    from etl.config import settings
    from etl.pipeline.diff import diff as compare
    from etl.pipeline.runs import database

    with waiting("Comparing …"):
        database(settings())
        found = compare(older, newer)
    print_diff(found)


def print_diff(found: Any) -> None:
    """Rows by table, kind and cause; of a first release, the rows that there are."""
    rows = [(each.table, each.kind, each.cause, each.rows, each.persons or "") for each in found.differences]
    title = f"Release {found.newer}" if found.older is None else f"Release {found.older} → {found.newer}"
    if not rows:
        out.print(f"{title}: the same rows.")
        return
    show.table(title, ("CDM table", "", "cause", "rows", "persons"), rows, numbers=[3, 4])
    out.print(f"{sum(each.rows for each in found.differences):,} rows of {found.persons:,} persons differ.")


def rollback(
    to: Annotated[int | None, typer.Option(help="The release to serve; else the one before the current one.")] = None,
) -> None:
    """Serve an older release again. Nothing is loaded; all views change in one transaction.

    Newer releases are taken back: the next run starts from the one that is served. Until that run publishes, a
    rollback --to a release that was taken back serves it again. Exit code 4 while a publish is under way.
    """
    from etl.cli.progress import waiting
    from etl.config import settings
    from etl.pipeline.runs import database
    from etl.publish import rollback as go_back

    with waiting("Waiting for a gap between readers …"):
        release = go_back(settings(), database(settings()), to)
    out.print(
        f"Release {release.release_id} of {release.published_at:%Y-%m-%d %H:%M} is served: {release.rows:,} rows."
    )


def clean() -> None:
    """Remove what killed runs left: files half-written, schemas that never became a release. Nothing served is touched.

    Exit code 4 while a run or a publish is under way.
    """
    from etl.cli.progress import waiting
    from etl.pipeline.clean import clean as tidy

    with waiting("Cleaning …"):
        removed = tidy()
    rows = [(what, count) for what, count in removed.items() if count]
    if rows:
        show.table("Removed", ("what", "how many"), rows, numbers=[1])
    else:
        out.print("There was nothing to remove.")
