"""Counts all of DQD's checks: most in the tables' own scans, the rest on small grouped tables or by `definition`."""

import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from etl.quality.candidate import Connection, Opened, open_raw
from etl.quality.concepts import Used
from etl.quality.dqd.catalogue import PRESENCE, DqdCheck
from etl.quality.dqd.definition import Places, denominator, needs, violated_count
from etl.quality.dqd.fused import BUILDERS, JOINS
from etl.quality.dqd.future_dates import FILE as FUTURE_DATES
from etl.quality.dqd.future_dates import write_future_dates
from etl.quality.dqd.grouped import OF_GENDER, count_concepts, count_genders, count_units, is_of_concepts
from etl.quality.dqd.source_values import FILE as SOURCE_VALUES
from etl.quality.dqd.source_values import write_source_values
from etl.quality.dqd.status import statuses
from etl.quality.model import CheckResult

OF_PERSONS = ("measurePersonCompleteness", "measureConditionEraCompleteness", "measureObservationPeriodOverlap")
# Integer columns that a file has as something else are read as they are in the file.
TOGETHER = 20
RAW = Places(cdm="raw", vocabulary="raw")


@dataclass
class DqdCounts:
    """Violated rows, denominator and seconds by check id; `errors` says what kept a check from being counted."""

    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def take(self, found: Mapping[str, tuple[int, int]], began: float) -> None:
        """Counts that took the time since `began` together."""
        share = (time.perf_counter() - began) / max(1, len(found))
        self.counts.update(found)
        self.seconds.update(dict.fromkeys(found, share))


@dataclass
class Scanned:
    """What the scans found: row counts by table, and the counts of the checks that they hold."""

    rows: dict[str, int] = field(default_factory=dict)
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def countable(checks: Iterable[DqdCheck], opened: Mapping[str, Opened], into: DqdCounts) -> list[DqdCheck]:
    """The checks whose tables and fields are there; of the others, `into` gets what is known without counting."""
    fields = {name: set(table.fields) for name, table in opened.items() if table.exists}
    found = []
    for check in checks:
        lacks = _lacks(check, fields)
        if check.check_name in PRESENCE:
            into.counts[check.check_id] = (int(bool(lacks)), 1)
        elif lacks:
            into.counts[check.check_id] = (0, 0)
            into.errors[check.check_id] = lacks
        else:
            found.append(check)
    return found


def _lacks(check: DqdCheck, fields: Mapping[str, Collection[str]]) -> str:
    for table, name in ((check.table, check.field), *needs(check)):
        if table not in fields:
            return f"there is no table {table}"
        if name and name not in fields[table]:
            return f"{table} has no field {name}"
    return ""


def is_scanned(check: DqdCheck, doubled: Collection[str]) -> bool:
    """Whether the table's scan counts this check exactly; a doubled parent would make a row count several times."""
    return check.check_name in BUILDERS and not is_of_concepts(check) and JOINS.get(check.check_name) not in doubled


def count_dqd(
    con: Connection,
    checks: Sequence[DqdCheck],
    opened: Mapping[str, Opened],
    scanned: Scanned,
    used: Mapping[tuple[str, str], Sequence[Used]],
    doubled: Collection[str],
    places: Places,
    kept: Path,
    into: DqdCounts,
) -> None:
    """Count the countable `checks` into `into`; `used` are the kinds of concepts by field.

    `doubled` are the tables whose key is not unique: what is joined with them is counted by its own SQL. What a later
    night cannot add to a count goes into `kept`.
    """
    groups = _by_way(checks, doubled)
    for check in groups["scan"]:
        into.counts[check.check_id] = scanned.counts[check.check_id]
        into.seconds[check.check_id] = scanned.seconds[check.check_id]
    began = time.perf_counter()
    into.take(
        {
            c.check_id: count_concepts(c, used.get((c.table, c.field), ()), scanned.rows[c.table])
            for c in groups["used"]
        },
        began,
    )
    for way, count in (
        ("gender", count_genders),
        ("unit", count_units),
        ("source", lambda con, asked: write_source_values(con, asked, kept / SOURCE_VALUES)),
    ):
        began = time.perf_counter()
        found = {check.check_id: (0, 0) for check in groups[way]} | count(con, groups[way])
        into.take(found, began)
    for check in groups["datatype"]:
        into.counts[check.check_id] = (0, scanned.rows[check.table])
        if check.field in opened[check.table].not_integers:
            open_raw(con, opened[check.table])
            _count_directly(con, [check], RAW, into)
    write_future_dates(con, checks, places.today, kept / FUTURE_DATES)
    has_doubles = [c for c in groups["scan"] if c.check_name == "isPrimaryKey" and into.counts[c.check_id][0]]
    _count_directly(con, [*groups["direct"], *has_doubles], places, into)


def _by_way(checks: Iterable[DqdCheck], doubled: Collection[str]) -> dict[str, list[DqdCheck]]:
    groups: dict[str, list[DqdCheck]] = defaultdict(list)
    for check in checks:
        groups[_way(check, doubled)].append(check)
    return groups


def _way(check: DqdCheck, doubled: Collection[str]) -> str:
    if JOINS.get(check.check_name) in doubled:
        return "direct"
    if is_of_concepts(check):
        return "used"
    return next((way for way, names in WAYS.items() if check.check_name in names), "direct")


WAYS: dict[str, Collection[str]] = {
    "scan": BUILDERS,
    "gender": OF_GENDER,
    "unit": ("plausibleUnitConceptIds",),
    "source": ("sourceValueCompleteness",),
    "datatype": ("cdmDatatype",),
    "direct": OF_PERSONS,
}


def _count_directly(con: Connection, checks: Sequence[DqdCheck], places: Places, into: DqdCounts) -> None:
    """By SQL of their own, some at a time: 36 statements for 18 checks cost more than what they count."""
    for first in range(0, len(checks), TOGETHER):
        began, some = time.perf_counter(), checks[first : first + TOGETHER]
        counts = ", ".join(f"({violated_count(c, places)}), ({denominator(c, places)})" for c in some)
        (values,) = con.execute(f"SELECT {counts}").fetchall()
        found = {check.check_id: (int(values[2 * n]), int(values[2 * n + 1])) for n, check in enumerate(some)}
        into.take(found, began)


def dqd_results(checks: Sequence[DqdCheck], counted: DqdCounts) -> list[CheckResult]:
    """The checks' results with DQD's statuses, in the catalogue's order."""
    judged = statuses(checks, counted.counts, counted.errors)
    return [
        CheckResult(
            check_id=check.check_id,
            table=check.table,
            column=check.field,
            check_type=check.check_name,
            severity=check.severity,
            violated=counted.counts[check.check_id][0],
            denominator=counted.counts[check.check_id][1],
            status=judged[check.check_id].status,
            seconds=counted.seconds.get(check.check_id, 0.0),
            origin="dqd",
            category=check.category,
            allowed_percent=check.threshold or 0.0,
            reason=judged[check.check_id].reason,
        )
        for check in checks
    ]
