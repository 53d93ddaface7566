"""Drift: how far a candidate's profile is from that of the last accepted release. Pure, but for reading the limits.

Each check counts rows (persons, concepts, checks) that drifted, of those of the last release, and 0 below `at_least`:
neither a small hospital nor a normal night trips. As every check, it fails when more than `allowed_percent` of the
denominator is violated, so it can be judged again from its counts. Without a last release there is nothing to drift
from: no check, and no suite to ask.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from etl.cdm import tables as cdm_tables
from etl.errors import ContractError
from etl.quality.model import SEVERITIES, Check, CheckResult
from etl.quality.profile import Profile, main_concept
from etl.quality.regression import Counts, RegressionLimits
from etl.quality.verdict import status_of
from etl.yaml_text import read_yaml

# kind of check → the limits that expectations/drift.yml gives it, besides its severity
LIMITS = {
    "rows": ("fall_percent", "grow_percent", "at_least"),
    "persons": ("fall_percent", "grow_percent", "at_least"),
    "rows_by_month": ("newest_months", "fall_percent", "at_least"),
    "mapped_share": ("percent_points", "at_least"),
    "top_concepts": ("top", "may_vanish", "at_least"),
    "checks": ("at_least",),
}
CATEGORIES = dict.fromkeys(LIMITS, "Completeness") | {"top_concepts": "Plausibility", "checks": "Plausibility"}
# One row each that says what the CDM was made of: they change with every release and never grow.
NOT_DATA = ("cdm_source", "metadata")
MOST_NAMED = 10


@dataclass(frozen=True)
class DriftLimits:
    """expectations/drift.yml: severity and numbers by kind of check, and when a warning counts as worse."""

    severities: Mapping[str, str]
    numbers: Mapping[str, Mapping[str, float]]
    regression: RegressionLimits


def read_limits(path: Path) -> DriftLimits:
    """The limits of `expectations/drift.yml`; ContractError where kind, number or severity is not as it must be."""
    try:
        content = read_yaml(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, OSError) as error:
        raise _broken(path, f"cannot be read ({type(error).__name__})") from error
    if not isinstance(content, dict) or set(content) != {*LIMITS, "regression"}:
        raise _broken(path, f"needs exactly the keys {', '.join(LIMITS)}, regression")
    severities = {kind: _severity(kind, content[kind], path) for kind in LIMITS}
    wanted = {**LIMITS, "regression": ("percent_points", "rows")}
    numbers = {kind: _numbers(kind, content[kind], names, path) for kind, names in wanted.items()}
    worse = numbers.pop("regression")
    return DriftLimits(severities, numbers, RegressionLimits(worse["percent_points"], int(worse["rows"])))


def _severity(kind: str, group: Any, path: Path) -> str:
    severity = group.pop("severity", None) if isinstance(group, dict) else None
    if severity not in SEVERITIES:
        raise _broken(path, f"must give {kind} a severity: {', '.join(SEVERITIES)}")
    return str(severity)


def _numbers(kind: str, group: Any, names: Iterable[str], path: Path) -> dict[str, float]:
    if not isinstance(group, dict) or set(group) != set(names):
        raise _broken(path, f"must give {kind} exactly: {', '.join(names)}")
    for name, value in group.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise _broken(path, f"gives {kind} {name} that is no number from 0 on")
    return group


def drift_checks(base: Profile, now: Profile, limits: DriftLimits) -> list[CheckResult]:
    """What drifted from the last accepted release's profile (`base`), table by table."""
    found = []
    for table in sorted((base.tables("rows") | now.tables("rows")) - set(NOT_DATA)):
        found.append(_changed("persons" if table == "person" else "rows", table, base, now, limits))
        found += _months(table, base, now, limits)
        found += _mapped(table, base, now, limits)
        found += _top_concepts(table, base, now, limits)
    return found


def asked(results: Iterable[CheckResult]) -> tuple[Check, ...]:
    """What Great Expectations is asked of these results: one suite, each check under its result's id."""
    return tuple(
        Check(
            "drift", ".".join(filter(None, (one.table, one.column))), one.check_type, one.severity, one.allowed_percent
        )
        for one in results
    )


def more_failures(base: Mapping[str, Counts], now: Sequence[CheckResult], limits: DriftLimits) -> CheckResult:
    """How many more checks fail than in the last accepted release (`base`, by check id), of those counted in both.

    A check that fails by a few rows more than it held by (fewer than `regression` says) is not counted: in a hospital
    of three patients any night turns a dozen of them.
    """
    both = [(result, base[result.check_id]) for result in now if result.check_id in base and result.origin != "drift"]
    new = sum(
        _fails(after) and not _fails(before) and after.violated - before.violated >= limits.regression.rows
        for after, before in both
    )
    gone = sum(_fails(before) and not _fails(after) for after, before in both)
    least = limits.numbers["checks"]["at_least"]
    more = new - gone if new - gone >= max(1, least) else 0
    return _result("checks", "", "", more, len(both), 0, limits, f"{new:,} fail that held, {gone:,} hold that failed")


def _fails(result: Counts) -> bool:
    return result.status in ("failed", "error")


def _changed(kind: str, table: str, base: Profile, now: Profile, limits: DriftLimits) -> CheckResult:
    """Rows that are gone, or that came; of the last release's."""
    numbers = limits.numbers[kind]
    before, after = base.count("rows", table), now.count("rows", table)
    fell = after < before
    changed = abs(after - before)
    allowed = numbers["fall_percent" if fell else "grow_percent"]
    counted = changed if changed >= numbers["at_least"] else 0
    return _result(kind, table, "", counted, before, allowed, limits, f"{after:,} now, {before:,} before")


def _months(table: str, base: Profile, now: Profile, limits: DriftLimits) -> Iterator[CheckResult]:
    """Rows gone from months that are over, of all rows of such months."""
    numbers, before, after = limits.numbers["rows_by_month"], base.items("month", table), now.items("month", table)
    if not before:
        return
    # A single record dated 2099 must not make last month one that is over.
    filled = sorted(month for month, rows in before.items() if rows >= numbers["at_least"])
    newest = filled[len(filled) - min(len(filled), int(numbers["newest_months"])) :]
    over = {month: rows for month, rows in before.items() if newest and month < newest[0]}
    lost = {month: rows - after.get(month, 0) for month, rows in over.items()}
    thin = {
        month: rows
        for month, rows in lost.items()
        if rows >= max(1, numbers["at_least"]) and rows * 100 > numbers["fall_percent"] * over[month]
    }
    named = _named(sorted(thin, key=lambda month: (-thin[month], month)))
    yield _result("rows_by_month", table, "", sum(thin.values()), sum(over.values()), 0, limits, f"in {named}")


def _mapped(table: str, base: Profile, now: Profile, limits: DriftLimits) -> Iterator[CheckResult]:
    """Rows without a concept that would have one at the last release's share, of all rows now."""
    numbers = limits.numbers["mapped_share"]
    before, after = base.count("rows", table), now.count("rows", table)
    for column, mapped in sorted(base.items("mapped", table).items()):
        mapped_now = now.count("mapped", table, column)
        lost = mapped * after // before - mapped_now if before else 0
        counted = lost if lost >= max(1, numbers["at_least"]) else 0
        told = f"{mapped_now:,} of {after:,} now, {mapped:,} of {before:,} before"
        yield _result("mapped_share", table, column, counted, after, numbers["percent_points"], limits, told)


def _top_concepts(table: str, base: Profile, now: Profile, limits: DriftLimits) -> Iterator[CheckResult]:
    """Concepts that are gone, of the most frequent ones."""
    numbers, before, after = limits.numbers["top_concepts"], base.items("concept", table), now.items("concept", table)
    if not before:
        return
    frequent = [concept for concept, rows in before.items() if rows >= numbers["at_least"]]
    top = sorted(frequent, key=lambda concept: (-before[concept], int(concept)))[: int(numbers["top"])]
    gone = [concept for concept in top if not after.get(concept)]
    # Rounded up to a hundredth: a share times its whole must not come out below the number that is allowed.
    allowed = min(100.0, math.ceil(numbers["may_vanish"] * 10_000 / len(top)) / 100) if top else 0.0
    told = f"concepts {_named(gone)}"
    yield _result(
        "top_concepts", table, main_concept(cdm_tables()[table]) or "", len(gone), len(top), allowed, limits, told
    )


def _result(
    kind: str, table: str, column: str, violated: int, denominator: int, allowed: float, limits: DriftLimits, told: str
) -> CheckResult:
    return CheckResult(
        check_id=".".join(part for part in ("drift", kind, table, column) if part),
        table=table,
        column=column,
        check_type=kind,
        severity=limits.severities[kind],
        violated=violated,
        denominator=denominator,
        status=status_of(violated, denominator, allowed),
        seconds=0.0,
        origin="drift",
        category=CATEGORIES[kind],
        allowed_percent=allowed,
        reason=told if violated else "",
    )


def _named(items: Sequence[str]) -> str:
    """Months or concepts; no patient's value."""
    more = f" and {len(items) - MOST_NAMED:,} more" if len(items) > MOST_NAMED else ""
    return ", ".join(items[:MOST_NAMED]) + more


def _broken(path: Path, what: str) -> ContractError:
    return ContractError(
        f"{'/'.join(path.parts[-2:])} {what}.",
        state="Nothing was checked, so nothing is published.",
        todo="Correct the file; expectations/README.md describes it.",
    )
