"""The row-wise checks of a table as aggregates of its one scan, beside our own: equal ones are computed once.

Each builder counts what `definition` says, from the same relations `life` and `key_<table>` that our own checks join;
these are unique by key, so a parent with doubles (DQD then counts a row several times) is left to `definition`.
"""

from collections.abc import Callable, Iterable, Sequence

from etl.cdm import quoted, tables
from etl.quality.dqd.catalogue import DqdCheck
from etl.quality.dqd.definition import DAYS_AFTER_DEATH, DAYS_AROUND_VISIT, Places, limit_of, unmapped_conditions
from etl.quality.scan import Scan

# Types whose definition joins a table: with doubles in it, a row counts several times.
JOINS = {
    "plausibleTemporalAfter": "person",
    "plausibleAfterBirth": "person",
    "plausibleGender": "person",
    "plausibleGenderUseDescendants": "person",
    "plausibleDuringLife": "death",
    "plausibleBeforeDeath": "death",
    "withinVisitDates": "visit_occurrence",
    "fkDomain": "concept",
    "fkClass": "concept",
    "isStandardValidConcept": "concept",
}


def add_to_scan(scan: Scan, checks: Iterable[DqdCheck], places: Places) -> None:
    """Add the aggregates of those checks of the scan's table that it can count."""
    for check in checks:
        builder = BUILDERS.get(check.check_name)
        aggregates = builder(check, scan, places) if builder else None
        if aggregates:
            violated, denominator = aggregates
            scan.counts[check.check_id] = (scan.count(violated), scan.count(denominator))


def parents_of(checks: Sequence[DqdCheck]) -> set[str]:
    """The tables whose keys the scans of these checks join; persons come with `life`, concepts are grouped."""
    foreign = {check.parent[0] for check in checks if check.check_name == "isForeignKey"}
    visits = {"visit_occurrence" for check in checks if check.check_name == "withinVisitDates"}
    return (foreign | visits) - {"person", "concept"}


Aggregates = tuple[str, str]


def _where(condition: str) -> str:
    return f"count(*) FILTER (WHERE {condition})"


def _column(check: DqdCheck) -> str:
    return f"t.{quoted(check.field)}"


def _date(check: DqdCheck, field: str) -> str:
    """A field as a date; a cast of what is one already would make it another expression than our own checks'."""
    column = f"t.{quoted(field)}"
    is_date = any(known.name == field and known.sql_type == "date" for known in tables()[check.table].fields)
    return column if is_date else f"CAST({column} AS DATE)"


def _missing(check: DqdCheck, scan: Scan, places: Places) -> Aggregates:
    return f"count(*) - count({_column(check)})", "count(*)"


def _primary_key(check: DqdCheck, scan: Scan, places: Places) -> Aggregates:
    """Whether there are doubles at all; only then their rows are counted, by `definition`."""
    return f"count({_column(check)}) - count(DISTINCT {_column(check)})", "count(*)"


def _foreign_key(check: DqdCheck, scan: Scan, places: Places) -> Aggregates | None:
    parent, _ = check.parent
    if parent == "concept":
        return None
    key = f"{scan.life()}.is_person" if parent == "person" else f"{scan.parent(check.field, parent)}.key"
    return _where(f"{_column(check)} IS NOT NULL AND {key} IS NULL"), "count(*)"


def _unmapped(check: DqdCheck, scan: Scan, places: Places) -> Aggregates:
    unmapped, counted = unmapped_conditions(check)
    return _where(unmapped), _where(counted) if check.argument else f"count({_column(check)})"


def _low(check: DqdCheck, scan: Scan, places: Places) -> Aggregates:
    column = _date(check, check.field) if check.is_date else _column(check)
    return _where(f"{column} < {limit_of(check, places)}"), f"count({_column(check)})"


def _high(check: DqdCheck, scan: Scan, places: Places) -> Aggregates:
    column = _date(check, check.field) if check.is_date else _column(check)
    return _where(f"{column} > {limit_of(check, places)}"), f"count({_column(check)})"


def _temporal_after(check: DqdCheck, scan: Scan, places: Places) -> Aggregates:
    table, field = check.parent
    earlier = _date(check, field) if table == check.table else f"{scan.life()}.birth_or_june"
    return _where(f"{earlier} > {_date(check, check.field)}"), "count(*)"


def _during_life(check: DqdCheck, scan: Scan, places: Places) -> Aggregates:
    life = scan.life()
    late = f"{_date(check, check.field)} > {life}.death_date + {DAYS_AFTER_DEATH}"
    return _where(late), f"count({life}.has_died)"


def _before_death(check: DqdCheck, scan: Scan, places: Places) -> Aggregates:
    life = scan.life()
    late = f"{_date(check, check.field)} > {life}.death_date + {DAYS_AFTER_DEATH}"
    return _where(late), _where(f"{_column(check)} IS NOT NULL AND {life}.has_died")


def _after_birth(check: DqdCheck, scan: Scan, places: Places) -> Aggregates:
    return _where(f"{_date(check, check.field)} < {scan.life()}.birth_date"), f"count({_column(check)})"


def _start_before_end(check: DqdCheck, scan: Scan, places: Places) -> Aggregates:
    start, end = _date(check, check.field), _date(check, check.argument)
    counted = f"{_column(check)} IS NOT NULL AND t.{quoted(check.argument)} IS NOT NULL"
    return _where(f"{start} > {end}"), _where(counted)


def _within_visit(check: DqdCheck, scan: Scan, places: Places) -> Aggregates:
    visit, column = scan.parent("visit_occurrence_id", "visit_occurrence"), _column(check)
    outside = (
        f"{column} < {visit}.start_date - {DAYS_AROUND_VISIT} OR {column} > {visit}.end_date + {DAYS_AROUND_VISIT}"
    )
    return _where(outside), f"count({visit}.key)"


BUILDERS: dict[str, Callable[[DqdCheck, Scan, Places], Aggregates | None]] = {
    "isRequired": _missing,
    "measureValueCompleteness": _missing,
    "isPrimaryKey": _primary_key,
    "isForeignKey": _foreign_key,
    "standardConceptRecordCompleteness": _unmapped,
    "sourceConceptRecordCompleteness": _unmapped,
    "plausibleValueLow": _low,
    "plausibleValueHigh": _high,
    "plausibleTemporalAfter": _temporal_after,
    "plausibleDuringLife": _during_life,
    "plausibleBeforeDeath": _before_death,
    "plausibleAfterBirth": _after_birth,
    "plausibleStartBeforeEnd": _start_before_end,
    "withinVisitDates": _within_visit,
}
