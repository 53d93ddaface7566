"""The mapping coverage as files of a run's report: a page, a CSV, and the report's front page."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from etl.config import settings
from etl.pipeline.coverage import (
    PATHS,
    Code,
    SourceColumn,
    by_unmapped_rows,
    coverage_of,
    rare_answers,
    share,
    write_csv,
)
from etl.pipeline.runs import Run, release_of

FILES = ("mapping.html", "mapping_coverage.csv", "index.html")
TEMPLATES = Path(__file__).parent / "templates"
REMOTE = re.compile(r"""(?:src|href|url)\s*[=(]\s*["']?\s*(?:https?:)?//""", re.IGNORECASE)
MOST_CODES_SHOWN = 25


@dataclass(frozen=True)
class Totals:
    """Sums over columns. A code that two columns use counts in both."""

    rows: int
    mapped_rows: int
    codes: int
    mapped_codes: int
    columns: int
    complete_columns: int


def totals(columns: Sequence[SourceColumn]) -> Totals:
    return Totals(
        rows=sum(column.rows for column in columns),
        mapped_rows=sum(column.mapped_rows for column in columns),
        codes=sum(len(column.codes) for column in columns),
        mapped_codes=sum(column.mapped_codes for column in columns),
        columns=len(columns),
        complete_columns=sum(column.mapped_rows == column.rows for column in columns),
    )


def report_mapping(run: Run) -> str:
    """Write the coverage into the run's report, and into its release's where that is there already; a line about it.

    The step may end before or after the publish, which copies the report once its release is written: either way the
    release's folder has these files when the run has ended.
    """
    columns = coverage_of(run)
    report = run.folder / "report"
    write_report(run, columns, report)
    release_id = release_of(run.run_id)
    if release_id is not None:
        _copy(report, settings().releases_dir / str(release_id) / "report", beside=run.folder)
    summed = totals(columns)
    return (
        f"{share(summed.mapped_rows, summed.rows)} of the coded rows and {summed.mapped_codes:,} of {summed.codes:,}"
        f" codes mapped in {summed.columns} columns"
    )


def write_report(run: Run, columns: Sequence[SourceColumn], report: Path) -> None:
    """Write the files beside the report and rename them into it, so that nobody copies a half of one."""
    beside = run.folder / ".mapping_report"
    beside.mkdir(parents=True, exist_ok=True)
    write_csv(columns, beside / "mapping_coverage.csv")
    (beside / "mapping.html").write_text(mapping_page(run, columns), encoding="utf-8")
    (beside / "index.html").write_text(front_page(run), encoding="utf-8")
    _move(beside, report)


def mapping_page(run: Run, columns: Sequence[SourceColumn]) -> str:
    """The page: totals, a bar per source column, the most frequent unmapped codes. One file, nothing from elsewhere."""
    worst_first = sorted(columns, key=lambda column: (column.mapped_rows - column.rows, column.name))
    return _page(
        "mapping.j2",
        run=run,
        columns=columns,
        gaps=[_gap(column) for column in worst_first if column.unmapped],
        totals=totals(columns),
        paths=PATHS,
        share=share,
    )


def front_page(run: Run) -> str:
    """The page that links the others of a report."""
    return _page("report.j2", run=run)


def _gap(column: SourceColumn) -> dict[str, object]:
    """What the page tells of a column's unmapped codes."""
    hidden = [code for code in column.unmapped if column.hides(code)]
    shown: tuple[Code, ...] = by_unmapped_rows(column.shown_unmapped)
    return {
        "column": column,
        "codes": shown[:MOST_CODES_SHOWN],
        "most": max((code.unmapped_rows for code in shown), default=1),
        "more": len(shown) - MOST_CODES_SHOWN,
        "hidden": rare_answers(hidden) if hidden else "",
        "unmapped_rows": column.rows - column.mapped_rows,
    }


def _page(template: str, **values: object) -> str:
    pages = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = pages.get_template(template).render(**values)
    if REMOTE.search(page):
        raise AssertionError(f"{template} would load something from elsewhere")
    return page


def _copy(report: Path, into: Path, *, beside: Path) -> None:
    copies = beside / ".mapping_copy"
    copies.mkdir(exist_ok=True)
    for name in FILES:
        shutil.copyfile(report / name, copies / name)
    _move(copies, into)


def _move(folder: Path, into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (folder / name).replace(into / name)
    folder.rmdir()
