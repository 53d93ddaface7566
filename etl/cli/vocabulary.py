"""`cdmflow vocabulary`: versions come in, are looked at, and one of them is adopted."""

from pathlib import Path
from typing import Annotated, Any

import typer

from etl.cli import out, show

MOST_SHOWN = 15

app = typer.Typer(
    no_args_is_help=True,
    help="Load a vocabulary version, see what it would change, adopt it. VERSION is its number or name (list).",
)
Source = Annotated[str, typer.Option(help="A folder under sources/, e.g. synthea.")]
VersionName = Annotated[str, typer.Argument(help="A version's number or name, as list shows it.", metavar="VERSION")]


@app.command()
def load(
    bundle: Annotated[Path, typer.Argument(help="Athena bundle: a folder or zip with CONCEPT.csv and the others.")],
) -> None:
    """Load a bundle as a version that no release uses yet. A broken bundle is refused whole.

    Exit code 4 while a publish is under way.
    """
    from etl.cli.progress import waiting
    from etl.config import settings
    from etl.pipeline.refresh import load_version
    from etl.pipeline.runs import database

    with waiting("Loading the vocabulary …") as tell:
        database(settings())
        loaded = load_version(bundle, tell)
    for warning in loaded.warnings:
        out.print(warning, style="yellow", markup=False)
    out.print(
        f"Vocabulary {loaded.vocabulary_id} ({loaded.version}) is loaded: {loaded.concepts:,} concepts.",
        highlight=False,
    )
    if not loaded.is_current:
        out.print(f"Next: [bold]./cdmflow vocabulary preview {loaded.vocabulary_id}[/bold]")


@app.command("list")
def list_() -> None:
    """List the loaded versions."""
    from etl.cli.progress import waiting
    from etl.config import settings
    from etl.pipeline.refresh import versions
    from etl.pipeline.runs import database

    with waiting("Looking …"):
        database(settings())
        known = versions()
    if not known:
        out.print("No vocabulary is loaded yet: ./cdmflow vocabulary load BUNDLE")
        return
    rows = [
        (
            version.vocabulary_id,
            version.version,
            f"{version.loaded_at:%Y-%m-%d %H:%M}",
            version.concepts,
            "current" if version.is_current else "loaded" if version.is_in_database else "in the lake",
        )
        for version in known
    ]
    show.table("Vocabularies", ("number", "version", "loaded", "concepts", ""), rows, numbers=[0, 3])


@app.command()
def preview(
    version: VersionName,
    source: Source = "synthea",
    output: Annotated[Path | None, typer.Option(help="Also write all changed codes to this CSV file.")] = None,
) -> None:
    """Show what adopting a version would change: codes, persons, rows, tables, coverage, concepts that ended.

    Nothing is written. It compares what every code of the current release means in both versions.
    """
    from etl.cli.progress import waiting
    from etl.config import settings
    from etl.pipeline.refresh import preview as compare
    from etl.pipeline.refresh import write_codes
    from etl.pipeline.runs import database

    with waiting("Comparing …"):
        database(settings())
        found = compare(version, source)
    print_preview(found)
    if output:
        write_codes(found, output)
        out.print(f"All {len(found.codes):,} changed codes: {output}", highlight=False, soft_wrap=True)
    out.print(f"Next: [bold]./cdmflow vocabulary adopt {found.after.vocabulary_id}[/bold]")


@app.command()
def adopt(
    version: VersionName,
    source: Source = "synthea",
    workers: Annotated[int | None, typer.Option(min=1, help="Steps at a time.")] = None,
) -> None:
    """Make a version the one: persons with codes that it changes are made again, vocabulary and CDM published together.

    A refusal of the gate (exit code 3) or any error leaves the release and its vocabulary as they were.
    """
    from etl.cli.progress import waiting
    from etl.cli.run import start_run
    from etl.cli.summary import print_summary
    from etl.config import settings
    from etl.pipeline.refresh import find_version
    from etl.pipeline.runs import database

    with waiting("Starting PostgreSQL …"):
        database(settings())
        chosen = find_version(version, source)
    print_summary(start_run(source, None, None, None, workers, vocabulary_id=chosen.vocabulary_id))


def print_preview(found: Any) -> None:
    """Totals, then the codes of the most rows, then the concepts that ended."""
    from etl.pipeline.coverage import share

    lines = [
        ("codes that map differently", len(found.codes)),
        ("rows with such a code", found.rows),
        ("rows that change their table", found.rows_moving),
        ("persons to be made again", "everybody" if found.concerns_everybody else found.persons),
    ]
    before, after = found.before, found.after
    show.table(
        f"Vocabulary {before.vocabulary_id} ({before.version}) → {after.vocabulary_id} ({after.version})",
        ("", ""), lines, numbers=[1],
    )  # fmt: skip
    coverage = [
        (what, each.total, each.before, share(each.before, each.total), each.after, share(each.after, each.total))
        for what, each in (("rows with a code", found.coverage_rows), ("codes", found.coverage_codes))
    ]
    show.table("Mapping coverage", ("", "all", "mapped now", "", "then", ""), coverage, numbers=range(1, 6))
    if found.codes:
        shown = found.codes[:MOST_SHOWN]
        title = (
            "Changed codes"
            if len(shown) == len(found.codes)
            else f"Changed codes ({MOST_SHOWN} of {len(found.codes):,})"
        )
        rows = [
            (
                code.vocabulary,
                code.code,
                code.rows,
                code.persons,
                code.before,
                code.after,
                code.rows_moving or "",
            )
            for code in shown
        ]
        names = ("vocabulary", "code", "rows", "persons", "now", "then", "rows moving")
        show.table(title, names, rows, numbers=[2, 3, 6])
    if found.ended:
        ended = [(each.concept_id, each.name, each.how, each.rows) for each in found.ended[:MOST_SHOWN]]
        show.table(f"Concepts that end ({len(found.ended):,})", ("concept", "name", "", "rows"), ended, numbers=[0, 3])
