"""From DQD's counts to DQD's statuses. Pure: all that it needs to know of tables and fields is in the counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from etl.quality.dqd.catalogue import DqdCheck

Counts = Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Status:
    """passed, failed, not_applicable or error, and why it is one of the latter two."""

    status: str
    reason: str = ""


@dataclass(frozen=True)
class _Known:
    """What the checks themselves say of tables and fields."""

    missing_tables: frozenset[str]
    missing_fields: frozenset[tuple[str, str]]
    empty_tables: frozenset[str]
    empty_fields: frozenset[tuple[str, str]]


def statuses(checks: Sequence[DqdCheck], counts: Counts, errors: Mapping[str, str]) -> dict[str, Status]:
    """The status of each check, by check id.

    `errors` says by check id what kept a check from being counted. A missing table or field makes its checks not
    applicable and only cdmTable or cdmField fail; otherwise an error comes first, then what does not apply.
    """
    known = _known(checks, counts)
    return {check.check_id: _status(check, counts, errors.get(check.check_id, ""), known) for check in checks}


def is_beyond(violated: int, denominator: int, threshold: float | None) -> bool:
    """No threshold and 0 allow nothing; another is exceeded by strictly more."""
    if not threshold:
        return violated > 0
    return violated * 100 > threshold * denominator


def _known(checks: Sequence[DqdCheck], counts: Counts) -> _Known:
    found = [(check, *counts[check.check_id]) for check in checks if check.check_id in counts]
    completeness = [one for one in found if one[0].check_name == "measureValueCompleteness"]
    return _Known(
        frozenset(check.table for check, violated, _ in found if check.check_name == "cdmTable" and violated),
        frozenset(
            (check.table, check.field) for check, violated, _ in found if check.check_name == "cdmField" and violated
        ),
        frozenset(check.table for check, _, rows in completeness if rows == 0),
        frozenset((check.table, check.field) for check, violated, rows in completeness if violated == rows),
    )


def _status(check: DqdCheck, counts: Counts, error: str, known: _Known) -> Status:
    reason = _not_applicable(check, counts, error, known)
    if reason:
        return Status("not_applicable", reason)
    if error:
        return Status("error", error)
    violated, denominator = counts[check.check_id]
    return Status("failed" if is_beyond(violated, denominator, check.threshold) else "passed")


def _not_applicable(check: DqdCheck, counts: Counts, error: str, known: _Known) -> str:
    """Why a check does not apply, '' if it does."""
    if check.check_name == "cdmTable":
        return ""
    if check.check_name == "measureConditionEraCompleteness":
        # Without conditions no era is due; its own table may well be missing then.
        return _no_rows("condition_occurrence", known)
    if check.table in known.missing_tables:
        return f"there is no table {check.table}"
    if check.check_name in ("cdmField", "measurePersonCompleteness"):
        return ""
    if (check.table, check.field) in known.missing_fields:
        return f"{check.table} has no field {check.field}"
    if error:
        return ""
    if check.table in known.empty_tables:
        return f"{check.table} has no row"
    if check.check_name == "measureValueCompleteness":
        return ""
    if (check.table, check.field) in known.empty_fields:
        return f"{check.table}.{check.field} has no value"
    if check.level == "concept" and counts[check.check_id][1] == 0:
        return f"{check.table} has no row to count of concept {check.concept_id}"
    return ""


def _no_rows(table: str, known: _Known) -> str:
    if table in known.missing_tables:
        return f"there is no table {table}"
    return f"{table} has no row" if table in known.empty_tables else ""
