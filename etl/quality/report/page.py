"""The quality page: one file with its style and drawings inside, no script, nothing from elsewhere."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from etl.quality.model import SEVERITIES, CheckResult
from etl.quality.overrides import Override, matches, overriding
from etl.quality.report import charts
from etl.quality.report.compare import Comparison, compare, gravest_first, is_broken, share_of
from etl.quality.report.model import CATEGORIES, QualityReport, counts_of
from etl.quality.report.words import category_of, counted

TEMPLATES = Path(__file__).parent / "templates"
# What a browser would fetch or run. Names and reasons cannot match: their < is escaped, and no tag begins without one.
ELSEWHERE = re.compile(
    r"""<[^>]*(?:src|href)\s*=\s*["']?\s*(?:\w+:)?//|<(?:script|link|iframe|img|object)""", re.IGNORECASE
)
# Beyond so many, a list is folded.
ROWS_OPEN = 12


@dataclass(frozen=True)
class Line:
    """A check as a row of a list: `now` and its counts in the release before, where it was asked then."""

    now: CheckResult
    counted: str
    share: float
    before: CheckResult | None
    is_new: bool
    override: Override | None
    is_regression: bool
    page: str

    @property
    def place(self) -> str:
        return f"{self.now.table}.{self.now.column}" if self.now.column else self.now.table

    @property
    def before_share(self) -> float:
        return share_of(self.before) if self.before else 0.0

    @property
    def group(self) -> str:
        return "regression" if self.is_regression else self.kind

    @property
    def kind(self) -> str:
        return "error" if self.now.status == "error" else self.now.severity


@dataclass(frozen=True)
class Cell:
    """A table's checks of one category: how many held of those that had something to count, what failed."""

    passed: int
    judged: int
    failed: Counter[str]

    @property
    def worst(self) -> str:
        return next((kind for kind in ("error", *SEVERITIES) if self.failed[kind]), "passed")

    @property
    def share(self) -> float:
        return self.passed / self.judged if self.judged else 1.0


def quality_page(report: QualityReport) -> str:
    """The page's HTML. Every name and reason is escaped; there are ids, counts and shares, nothing of a row."""
    changes = compare(report.results, report.before) if report.before is not None else None
    lines = _lines(report, changes)
    checks = [line for line in lines if line.now.origin != "drift"]
    drift = [line for line in lines if line.now.origin == "drift"]
    broken = [line for line in checks if is_broken(line.now)]
    overridden = [line for line in lines if line.override]
    page = (
        _environment()
        .get_template("quality.j2")
        .render(
            report=report,
            changes=changes,
            totals=counts_of("", [line.now for line in checks]),
            broken=[line for line in broken if not line.override],
            overridden=overridden,
            unused=_unused(report, overridden),
            new=[line for line in lines if line.is_new],
            resolved=changes.resolved if changes else (),
            worse=changes.worse if changes else (),
            categories={category: _cell([line.now for line in checks], category) for category in CATEGORIES},
            matrix=matrix([line.now for line in checks]),
            not_applicable=_reasons([line.now for line in checks]),
            drift=drift,
            trend=charts.trend(report.trend),
            counted=counted,
            category_names=CATEGORIES,
            rows_open=ROWS_OPEN,
        )
    )
    if ELSEWHERE.search(page):
        raise AssertionError("the quality page would load something from elsewhere")
    return page


def _lines(report: QualityReport, changes: Comparison | None) -> list[Line]:
    before = {result.check_id: result for result in report.before or ()}
    new = {result.check_id for result, _ in changes.new} if changes else set()
    return [
        Line(
            now=result,
            counted=counted(result.check_type),
            share=share_of(result),
            before=before.get(result.check_id),
            is_new=result.check_id in new,
            override=overriding(result, report.overrides) if is_broken(result) else None,
            is_regression=result.check_id in report.regressed,
            page=report.pages.get("drift" if result.origin == "drift" else result.table, ""),
        )
        for result in gravest_first(report.results)
    ]


def _unused(report: QualityReport, used: Sequence[Line]) -> list[Override]:
    """Overrides of checks that hold: they can be taken back."""
    needed = {line.now.check_id for line in used}
    return [one for one in report.overrides if not any(matches(one.check_id, check_id) for check_id in needed)]


def matrix(results: Sequence[CheckResult]) -> list[tuple[str, dict[str, Cell], Cell]]:
    """A row per table: its cells by category, and their sum. Tables with the gravest failures come first."""
    by_table = defaultdict(list)
    for result in results:
        by_table[result.table].append(result)
    rows = [
        (table, {category: _cell(found, category) for category in CATEGORIES}, _cell(found, None))
        for table, found in by_table.items()
    ]
    return sorted(
        rows, key=lambda row: ([-row[2].failed[kind] for kind in ("error", *SEVERITIES)], -row[2].judged, row[0])
    )


def _cell(results: Sequence[CheckResult], category: str | None) -> Cell:
    found = [r for r in results if category is None or category_of(r.check_type, r.category) == category]
    failed = Counter("error" if r.status == "error" else r.severity for r in found if is_broken(r))
    passed = sum(r.status == "passed" for r in found)
    return Cell(passed, passed + failed.total(), failed)


def _reasons(results: Sequence[CheckResult]) -> list[tuple[str, int]]:
    """Why checks did not apply, the most frequent reason first; reasons that name a table or field are many."""
    found = Counter(r.reason or "nothing to count" for r in results if r.status == "not_applicable")
    return found.most_common()


def _environment() -> Environment:
    pages = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {"n": number, "share": percent, "short": short_percent, "ring": charts.ring}
    return pages


def number(value: float) -> str:
    return f"{value:,}"


def percent(share: float) -> str:
    """Two digits that tell something: 100 %, 99.3 %, 0.042 %; what is not all or nothing is not rounded to it."""
    of_hundred = 100 * share
    if share in (0, 1) or 1 <= of_hundred <= 99:
        return f"{of_hundred:.3g} %"
    if of_hundred > 99:
        return f"{min(of_hundred, 99.99):.4g} %"
    return f"{max(of_hundred, 0.001):.2g} %" if of_hundred >= 0.001 else "< 0.001 %"


def short_percent(share: float) -> str:
    """At most four letters, for the inside of a ring; 100 only when all hold."""
    return f"{min(100 * share, 99.9):.3g}" if share < 1 else "100"
