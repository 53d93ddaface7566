"""Mapping coverage: which codes of each source column mean a standard concept, and how many rows they stand for."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy

from etl import state
from etl.config import settings
from etl.engine import connection, relation
from etl.errors import UsageError
from etl.pipeline.models import source_parts
from etl.pipeline.runs import Run, database, engine, load_run

EVENT_ROLES = ("code", "value", "unit", "route", "modifier", "status")
# An answer that few rows give may be somebody's own words; a report shows it once that many rows give it.
FEWEST_ROWS_OF_A_SHOWN_ANSWER = 5
PATHS = ("maps to", "itself", "custom", "unmapped")
CSV_HEADER = (
    "source_column", "source_vocabulary", "source_code", "source_name", "rows", "mapped_rows", "targets",
    "mapping_path", "target_concept_id", "target_concept_name", "target_domain",
)  # fmt: skip


@dataclass(frozen=True)
class Code:
    """A code of one source column. `target_concept_id` is 0 and `path` `unmapped` where it means no concept.

    A code that is mapped only for a stretch of time has fewer mapped rows than rows.
    """

    vocabulary: str
    code: str
    name: str | None
    rows: int
    mapped_rows: int
    targets: int
    path: str
    target_concept_id: int
    target_name: str | None
    target_domain: str | None

    @property
    def unmapped_rows(self) -> int:
        return self.rows - self.mapped_rows


@dataclass(frozen=True)
class SourceColumn:
    """A column of the source that holds codes: `conditions.code`, `observations.unit`, `patients.race`."""

    name: str
    role: str
    codes: tuple[Code, ...]

    @property
    def rows(self) -> int:
        return sum(code.rows for code in self.codes)

    @property
    def mapped_rows(self) -> int:
        return sum(code.mapped_rows for code in self.codes)

    @property
    def mapped_codes(self) -> int:
        return sum(code.mapped_rows > 0 for code in self.codes)

    @property
    def vocabularies(self) -> tuple[str, ...]:
        return tuple(sorted({code.vocabulary for code in self.codes}))

    @property
    def unmapped(self) -> tuple[Code, ...]:
        """Codes with unmapped rows, those of the most such rows first."""
        return by_unmapped_rows(code for code in self.codes if code.unmapped_rows)

    @property
    def shown_unmapped(self) -> tuple[Code, ...]:
        """The unmapped codes that a report or a terminal may show: no rare answers."""
        return tuple(code for code in self.unmapped if not self.hides(code))

    def hides(self, code: Code) -> bool:
        """Whether a code is kept out of reports: an unmapped answer that fewer than five rows give."""
        return self.role == "value" and code.mapped_rows == 0 and code.rows < FEWEST_ROWS_OF_A_SHOWN_ANSWER

    def rows_by_path(self) -> dict[str, int]:
        """Rows by how their code was mapped; the unmapped rows of a dated code count as unmapped."""
        counted = dict.fromkeys(PATHS, 0)
        for code in self.codes:
            if code.mapped_rows:
                counted[code.path] += code.mapped_rows
            counted["unmapped"] += code.unmapped_rows
        return counted


def by_unmapped_rows(codes: Iterable[Code]) -> tuple[Code, ...]:
    return tuple(sorted(codes, key=lambda code: (-code.unmapped_rows, code.vocabulary, code.code)))


def share(part: int, whole: int) -> str:
    """Per cent, cut instead of rounded: 100 % means all, and less than 0.1 % is not nothing."""
    if not whole:
        return "–"
    if part == whole:
        return "100 %"
    return f"{max(part * 1000 // whole, 1 if part else 0) / 10:.1f} %"


def coverage_of(run: Run) -> tuple[SourceColumn, ...]:
    """The coverage of a run, columns in the order of the registry of parts.

    UsageError when the run has not come so far, or its files are removed (the last three runs' are kept).
    """
    output = _output(run.folder)
    if not output.is_file():
        raise UsageError(
            f"The files of run {run.run_id} hold no mapping coverage.",
            todo="Take a newer run (./cdmflow status), or see mapping.html in the report of the run's release.",
        )
    with connection(threads=1) as con:
        found = con.execute(
            "SELECT source_part_no, role, source_vocabulary, source_code, source_name, row_count, mapped_row_count,"
            f" target_count, mapping_path, target_concept_id, target_name, target_domain FROM {relation([output])}"
            " ORDER BY source_part_no, role, row_count DESC, source_vocabulary, source_code"
        ).fetchall()
    columns: dict[tuple[str, str], list[Code]] = {}
    for part_no, role, *code in found:
        columns.setdefault((column_name(part_no, role), role), []).append(Code(*code))
    return tuple(SourceColumn(name, role, tuple(codes)) for (name, role), codes in columns.items())


def newest_counted(source: str | None = None) -> Run | None:
    """The newest run of all persons, of this source or any, whose coverage is still in the lake."""
    everybody = sqlalchemy.select(state.run.c.run_id).where(state.run.c.scope == "all")
    query = everybody.order_by(state.run.c.started_at.desc())
    if source is not None:
        query = query.where(state.run.c.source == source)
    with engine(database(settings())).connect() as con:
        run_ids = con.execute(query).scalars().all()
    runs = (load_run(run_id) for run_id in run_ids if _output(settings().runs_dir / run_id).is_file())
    return next(runs, None)


def _output(run_folder: Path) -> Path:
    return run_folder / "account" / "mapping_coverage.parquet"


def column_name(part_no: int, role: str) -> str:
    """`conditions.code`, `patients.race`; where a table's events have several parts, `allergies.reaction1.code`."""
    part = source_parts()[part_no]
    own_part = role in EVENT_ROLES and part["part"] != part["table"]
    return ".".join((part["table"], part["part"], role) if own_part else (part["table"], role))


def chosen(columns: Sequence[SourceColumn], name: str) -> SourceColumn:
    """The column of this name; UsageError with the known names."""
    for column in columns:
        if column.name == name:
            return column
    raise UsageError(
        f"The run has no source column {name}.", todo=f"Columns: {', '.join(column.name for column in columns)}."
    )


def write_csv(columns: Sequence[SourceColumn], output: Path) -> None:
    """One line per source column and code; answers that are not shown stand in one line without their codes."""
    with output.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CSV_HEADER)
        for column in columns:
            writer.writerows(_lines(column))


def _lines(column: SourceColumn) -> Iterable[tuple[object, ...]]:
    for code in column.codes:
        if not column.hides(code):
            yield (
                column.name, code.vocabulary, code.code, code.name, code.rows, code.mapped_rows, code.targets,
                code.path, code.target_concept_id, code.target_name, code.target_domain,
            )  # fmt: skip
    hidden = [code for code in column.codes if column.hides(code)]
    if hidden:
        rows = sum(code.rows for code in hidden)
        yield (column.name, "", "", rare_answers(hidden), rows, 0, 0, "unmapped", 0, None, None)


def rare_answers(hidden: Sequence[Code]) -> str:
    return f"{len(hidden):,} answers, each of fewer than {FEWEST_ROWS_OF_A_SHOWN_ANSWER} rows"
