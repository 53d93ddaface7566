"""`cdmflow check`: stored counts judged again, without touching data."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from etl.cli import out, show

GATE_REFUSES = 3
MOST_SHOWN = 20


def check(
    release: Annotated[int | None, typer.Option(help="A release's number; else the one that is served.")] = None,
    run: Annotated[str | None, typer.Option(help="A run's id, also of one that was refused.", metavar="ID")] = None,
    thresholds: Annotated[
        Path | None,
        typer.Option(
            help="Other severities and limits: a YAML list of check (an id, or a pattern with *), severity, "
            "allowed_percent.",
            metavar="FILE",
        ),
    ] = None,
) -> None:
    """Judge the stored counts of a release again; nothing is counted, nothing is changed.

    Shows what does not hold, what is new and resolved since the release before, and how many checks hold by table and
    category. The same as a page: quality.html in the release's report. Exit code 3 when the gate would refuse.
    """
    from etl.pipeline.recheck import recheck

    found = recheck(release=release, run_id=run, thresholds=thresholds)
    print_verdict(found)
    print_failures(found)
    if found.changes is not None:
        print_changes(found)
    print_tables([result for result in found.results if result.origin != "drift"])
    if not found.verdict.passed:
        raise typer.Exit(GATE_REFUSES)


def print_verdict(found: Any) -> None:
    """One line: passed or refused, of what, and how many checks of each outcome."""
    verdict = found.verdict
    what = f"Release {found.release} (run {found.run_id})" if found.release else f"Run {found.run_id}"
    counts = [
        f"{verdict.evaluated:,} checks",
        f"{len(verdict.failed_critical):,} critical",
        f"{len(verdict.regressions):,} got worse",
        f"{len(verdict.warnings):,} reported",
        f"{len(verdict.overridden):,} overridden",
        f"{sum(one.status == 'not_applicable' for one in found.results):,} with nothing to count",
    ]
    word, style = ("passes", "bold green") if verdict.passed else ("is refused", "bold red")
    out.print(f"{what} {word}", style=style, highlight=False, end="")
    out.print(f": {', '.join(counts)}.", highlight=False, soft_wrap=True)
    out.print()


def print_failures(found: Any) -> None:
    """What stops first, then what is only reported."""
    from etl.quality.report.compare import gravest_first

    verdict = found.verdict
    _failures("Stops the publish: critical", gravest_first(verdict.failed_critical))
    worse = [
        (*_cells(one.result), f"{one.violated_before:,} of {one.denominator_before:,} before")
        for one in verdict.regressions
    ]
    _limited("Stops the publish: warnings that got worse", worse)
    over = [
        (*_cells(one.result), f"until {one.override.until}: {one.override.reason} ({one.override.made_by})")
        for one in verdict.overridden
    ]
    _limited("Overridden", over)
    reported = gravest_first(verdict.warnings)
    _failures("Warnings", [result for result in reported if result.severity == "warning"])
    _failures("Notes", [result for result in reported if result.severity == "info"])


def print_changes(found: Any) -> None:
    """Failures that the release before had not, and those that it had."""
    new = [_cells(result) for result, _ in found.changes.new]
    resolved = [_cells(before) for _, before in found.changes.resolved]
    _limited(f"New since release {found.before}", [(*cells, "") for cells in new])
    _limited(f"Resolved since release {found.before}, as it was there", [(*cells, "") for cells in resolved])
    if not new and not resolved:
        out.print(f"Nothing new and nothing resolved since release {found.before}.\n", highlight=False)


def print_tables(results: Sequence[Any]) -> None:
    """How many checks hold, of those that had something to count, by table and category."""
    from etl.quality.report.model import CATEGORIES
    from etl.quality.report.page import matrix

    rows = [
        (table or "(all tables)", *(_held(cells[name]) for name in CATEGORIES), _held(all_of_it))
        for table, cells, all_of_it in matrix(results)
        if all_of_it.judged
    ]
    show.table("Checks that hold", ("table", *CATEGORIES, "all"), rows, numbers=range(1, 5))


def _held(cell: Any) -> str:
    return f"{cell.passed:,} of {cell.judged:,}" if cell.judged else ""


def _failures(title: str, results: Iterable[Any]) -> None:
    _limited(title, [(*_cells(result), result.reason if result.status == "error" else "") for result in results])


def _cells(result: Any) -> tuple[str, str, str, str, str]:
    """Check, counts, share, limit and severity."""
    from etl.quality.report.compare import share_of
    from etl.quality.report.page import percent

    if result.status == "error":
        return result.check_id, "not counted", "", "", result.severity
    counts = f"{result.violated:,} of {result.denominator:,}"
    return result.check_id, counts, percent(share_of(result)), f"{result.allowed_percent:g} %", result.severity


def _limited(title: str, rows: Sequence[tuple[str, ...]]) -> None:
    if not rows:
        return
    told = title if len(rows) <= MOST_SHOWN else f"{title} ({MOST_SHOWN} of {len(rows):,}; all are in quality.html)"
    names = ("check", "violated", "share", "limit", "severity", "")
    show.table(told, names, rows[:MOST_SHOWN], numbers=[1, 2, 3])
