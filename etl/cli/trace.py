"""`cdmflow trace`: from a CDM row to its source line, and from a source line to its CDM rows."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from etl.cli import out, show
from etl.errors import UsageError

if TYPE_CHECKING:
    from etl.land.locate import Origin
    from etl.pipeline.lineage import SourceRow
    from etl.pipeline.trace import Mapping, SourceTrace, Trace


def trace(
    table: Annotated[
        str | None, typer.Argument(help="A CDM table, e.g. measurement, visit_occurrence, drug_era.")
    ] = None,
    row_id: Annotated[
        int | None, typer.Argument(metavar="ID", help="The row's id; person_id for person and death.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(metavar="FILE", help="A source file that was landed, by name or path.")
    ] = None,
    line: Annotated[int | None, typer.Option(min=1, help="A line of that file; the header is line 1.")] = None,
    run: Annotated[str | None, typer.Option(help="A run's id; else the one of the current release.")] = None,
) -> None:
    """Show where a CDM row comes from, or what became of a line of a source file.

    An id is its own lineage: source row × 100 000 + part × 100 + number of the code's target. So
    ./cdmflow trace measurement 4218800301 leads to row 42188 of part 3, the file and line that it came in, its code,
    how the code was mapped, and whatever rules applied.

    ./cdmflow trace --source conditions.csv --line 17 goes the other way: to every CDM row made of that line, or to the
    rule that kept it out.
    """
    if source is not None and line is not None and table is None:
        print_line(source, line, run)
    elif table is not None and row_id is not None and source is None and line is None:
        from etl.pipeline.trace import trace as trace_row

        print_trace(trace_row(table, row_id, run))
    else:
        raise UsageError(
            "Give a table and an id, or a file and a line.",
            todo="./cdmflow trace measurement 4218800301, or ./cdmflow trace --source conditions.csv --line 17",
        )


def print_trace(found: "Trace") -> None:
    """The CDM row, its source rows, its codes, its flags, and what it was derived from."""
    out.print(f"{found.table} {found.row_id} in {_version(found.run_id, found.release)}", style="bold", highlight=False)
    show.table("CDM row", ("column", "value", ""), [
        (name, str(value), found.concept_names.get(value, "") if name.endswith("concept_id") else "")
        for name, value in found.values.items()
    ])  # fmt: skip
    for row in found.sources:
        print_source_row(row)
    if found.source_count > len(found.sources):
        out.print(f"… made of {found.source_count:,} source rows, {len(found.sources)} of them shown.\n")
    for mapping in found.mappings:
        print_mapping(mapping)
    if found.flags:
        out.print(f"Flags  {', '.join(found.flags)}\n", highlight=False)
    if found.made_of:
        total = sum(found.counted.values())
        cut = f", the first {len(found.made_of)}" if total > len(found.made_of) else ""
        counts = ", ".join(f"{rows:,} {name}" for name, rows in found.counted.items())
        show.table(f"Made of {counts}{cut}", ("CDM table", "id", "date"), [
            (name, str(number), day) for name, number, day in found.made_of
        ], numbers=[1])  # fmt: skip


def print_source_row(row: "SourceRow") -> None:
    out.print(f"Source row {row.source_row_id} of {row.table}: {place(row.origin)}", style="bold", highlight=False)
    if row.first is not None:
        out.print(f"  its number first arrived in {place(row.first)}", highlight=False)
    show.table("", ("landed column", "value"), [(name, str(value)) for name, value in row.values.items()])


def place(origin: "Origin | None") -> str:
    """`conditions.csv, line 17 (record 16), batch 3, landed 2026-11-24 01:10`"""
    if origin is None:
        return "its batch is not known any more"
    line = (
        f"line {origin.line_no} (record {origin.record_no})"
        if origin.line_no
        else f"line unknown, record {origin.record_no}"
    )
    return f"{origin.file}, {line}, batch {origin.batch_id}, landed {origin.landed_at:%Y-%m-%d %H:%M}"


def print_mapping(mapping: "Mapping") -> None:
    from etl.pipeline.trace import PATHS

    role = "Code" if mapping.role == "source" else f"Code of {mapping.role}"
    name = f" ({mapping.name})" if mapping.name else ""
    out.print(f"{role} {mapping.code}{name} in {mapping.vocabulary}", style="bold", highlight=False)
    out.print(f"  source concept {mapping.source_concept_id} {mapping.source_concept}".rstrip(), highlight=False)
    for target in mapping.targets:
        way = PATHS.get(target.path, target.path)
        domain = f", domain {target.domain}" if target.domain else ""
        goes = f" → {target.table}" if target.table else ""
        here = "  ← this row" if target.is_this else ""
        out.print(
            f"  → {target.concept_id} {target.name}{domain}{goes}, by {way}{here}",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip
    out.print()


def print_line(source: str, line: int, run: str | None) -> None:
    from etl.pipeline.trace import trace_line

    path = Path(source)
    found = trace_line(path.name, line, run, path.stat().st_size if path.is_file() else None)
    out.print(f"{path.name}, line {line}, in {_version(found.run_id, found.release)}", style="bold", highlight=False)
    if found.size_differs:
        out.print("This file has another size now than when it was landed: its lines may be others.", style="yellow")
    if found.line.record_no is None:
        out.print("No record stands on this line: it is blank, the header, or beyond the end.")
        return
    if found.line.rejected is not None:
        out.print(
            f"Record {found.line.record_no} was rejected at landing: {found.line.rejected.reason}.", highlight=False
        )
        return
    if found.row is None:
        out.print(
            f"Record {found.line.record_no} landed, but is not in the current state: a newer delivery replaced it."
        )
        return
    print_source_row(found.row)
    show.table("What became of it", ("part", "", "CDM table", "id", "concept"), outcome_rows(found))


def outcome_rows(found: "SourceTrace") -> list[tuple[str, str, str, str, str]]:
    """A line for each CDM row, for each row that it went into, and for each rule and flag."""
    rows = []
    for outcome in found.outcomes:
        rows += [(outcome.part, "is", table, str(number), name) for table, number, name in outcome.cdm]
        rows += [(outcome.part, "went into", table, str(number), name) for table, number, name in outcome.into]
        rows += [(outcome.part, "excluded", rule, "", "") for rule in outcome.excluded]
        rows += [(outcome.part, "flagged", flag, "", "") for flag in outcome.flags]
    return rows


def _version(run_id: str, release: int | None) -> str:
    return f"release {release} (run {run_id})" if release else f"run {run_id}, not published"
