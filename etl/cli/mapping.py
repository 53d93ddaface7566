"""`cdmflow mapping`: what is mapped, the rest out to Usagi, and its answers back in."""

from pathlib import Path
from typing import Annotated, Any

import typer

from etl.cli import out, show

MOST_SHOWN = 15

app = typer.Typer(no_args_is_help=True, help="What is mapped and what is not; codes out to Usagi and back in.")
RunOption = Annotated[str | None, typer.Option(help="A run's id; else the newest that counted its coverage.")]


@app.command()
def coverage(
    run: RunOption = None,
    column: Annotated[str | None, typer.Option(help="One source column, e.g. conditions.code: all its gaps.")] = None,
) -> None:
    """Show per source column how many rows and codes are mapped, and the most frequent codes that are not.

    The same stands as a page and as CSV in the release's report: mapping.html, mapping_coverage.csv.
    """
    from etl.pipeline.coverage import chosen, coverage_of

    found = _run(run)
    columns = coverage_of(found)
    shown = [chosen(columns, column)] if column else list(columns)
    print_columns(found.run_id, shown)
    print_unmapped(shown, most=None if column else MOST_SHOWN)


@app.command()
def export(
    output: Annotated[Path, typer.Option(help="A folder: one file per source vocabulary. Or FILE.csv for just one.")],
    column: Annotated[list[str] | None, typer.Option(help="A source column, e.g. conditions.code; repeatable.")] = None,
    all_columns: Annotated[bool, typer.Option("--all", help="All source columns.")] = False,
    run: RunOption = None,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite files that are there.")] = False,
) -> None:
    """Write the unmapped codes, with names and frequencies, for Usagi (File → Import codes)."""
    from etl.errors import UsageError
    from etl.pipeline.coverage import chosen, coverage_of
    from etl.pipeline.usagi import export_unmapped

    if bool(column) == all_columns:
        raise UsageError("Which columns?", todo="Give --column NAME, once or more, or --all.")
    found = _run(run)
    columns = coverage_of(found)
    wanted = columns if all_columns else [chosen(columns, name) for name in column or ()]
    files = export_unmapped(wanted, output, replace=replace)
    if not files:
        out.print("Every code is mapped: there is nothing to export.")
        return
    show.table("Unmapped codes", ("source vocabulary", "codes", "file"), [(v, n, p) for v, p, n in files], numbers=[1])
    out.print("In Usagi: File → Import codes, the columns are named alike; map, approve, save. Then for each:")
    for name, path, _ in files:
        saved = path.with_name(f"{path.stem}_mapped.csv")
        out.print(
            f'  ./cdmflow mapping import {saved} --source {found.source} --vocabulary "{name}"',
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="What Usagi saved (File → Save).")],
    source: Annotated[str, typer.Option(help="The folder under sources/ that gets the map.")],
    vocabulary: Annotated[str, typer.Option(help='The codes\' source vocabulary, e.g. "Synthea class".')],
    add: Annotated[bool, typer.Option("--add", help="Add to the vocabulary's map that is there.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Write the vocabulary's map anew.")] = False,
) -> None:
    """Check a file saved by Usagi and keep its approved targets as a custom map, which the next run applies."""
    from etl.config import settings
    from etl.errors import UsageError
    from etl.pipeline import sources
    from etl.pipeline.usagi import import_usagi

    if source not in sources():
        raise UsageError(f"There is no source {source!r}.", todo=f"Sources with a contract: {', '.join(sources())}.")
    map_folder = settings().sources_dir / source / "map"
    report = import_usagi(file, vocabulary, map_folder, _concepts(source), add=add, replace=replace)
    rows = [("approved, taken over", report.rows), *report.ignored.most_common()]
    show.table(f"Rows of {file.name}", ("row", "rows"), rows, numbers=[1])
    out.print(f"{report.codes:,} codes of {vocabulary} are mapped in {report.path}.", highlight=False, soft_wrap=True)
    if report.kept:
        out.print(f"{report.kept:,} rows of other codes were kept.")
    unknown = _unused(source, vocabulary)
    if unknown:
        out.print(unknown, style="yellow", markup=False)
    out.print("The next run applies it: ./cdmflow run …, then ./cdmflow mapping coverage")


def print_columns(run_id: str, columns: Any) -> None:
    """One line per source column, and the totals."""
    from etl.pipeline.coverage import share
    from etl.pipeline.mapping_report import totals

    lines: list[tuple[object, ...]] = [
        (
            column.name,
            column.rows,
            column.mapped_rows,
            share(column.mapped_rows, column.rows),
            len(column.codes),
            column.mapped_codes,
            share(column.mapped_codes, len(column.codes)),
        )
        for column in columns
    ]
    summed = totals(columns)
    rows = (summed.rows, summed.mapped_rows, share(summed.mapped_rows, summed.rows))
    codes = (summed.codes, summed.mapped_codes, share(summed.mapped_codes, summed.codes))
    lines.append(("all", *rows, *codes))
    names = ("source column", "rows", "mapped", "", "codes", "mapped", "")
    show.table(f"Mapping coverage of run {run_id}", names, lines, numbers=range(1, 7))


def print_unmapped(columns: Any, *, most: int | None) -> None:
    """The most frequent unmapped codes; rare answers are only counted."""
    from etl.pipeline.coverage import rare_answers

    found = [(column, code) for column in columns for code in column.shown_unmapped]
    found.sort(key=lambda pair: (-pair[1].unmapped_rows, pair[0].name, pair[1].code))
    lines = [(column.name, code.vocabulary, code.code, code.name, code.unmapped_rows) for column, code in found[:most]]
    if lines:
        title = "Not mapped" if len(lines) == len(found) else f"Not mapped ({len(lines)} of {len(found):,})"
        show.table(title, ("source column", "vocabulary", "code", "name", "rows"), lines, numbers=[4])
    hidden = [code for column in columns for code in column.unmapped if column.hides(code)]
    if hidden:
        out.print(f"Not shown: {rare_answers(hidden)}.")


def _run(run_id: str | None) -> Any:
    """The run with this id, else the newest one with a coverage."""
    from etl.errors import UsageError
    from etl.pipeline.coverage import newest_counted
    from etl.pipeline.runs import load_run

    found = load_run(run_id) if run_id else newest_counted()
    if found is None:
        raise UsageError("No run has counted its mapping coverage yet.", todo="./cdmflow run, or ./cdmflow demo")
    return found


def _concepts(source: str) -> Path:
    """The concepts that the newest counted run of this source mapped to."""
    from etl.errors import UsageError
    from etl.pipeline.coverage import newest_counted
    from etl.pipeline.runs import vocabulary_folder

    found = newest_counted(source)
    if found is None or found.vocabulary_id is None:
        raise UsageError(
            f"No run of {source} has loaded a vocabulary, so the targets cannot be checked.",
            state="No map was written.",
            todo="Run the source once: ./cdmflow run --source …",
        )
    return vocabulary_folder(found.vocabulary_id) / "concept.parquet"


def _unused(source: str, vocabulary: str) -> str:
    """A warning when the source does not call any vocabulary so."""
    from etl.pipeline.coverage import coverage_of, newest_counted

    found = newest_counted(source)
    used = sorted({name for column in coverage_of(found) for name in column.vocabularies}) if found else []
    if not used or vocabulary in used:
        return ""
    return f"The last run of {source} has no code of {vocabulary}; its vocabularies are: {', '.join(used)}."
