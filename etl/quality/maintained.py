"""Counts of a release from those of the one before: total = last release − some persons' old rows + their new rows.

Exact for every count that adds up over rows or persons. What a check finds of the files is that of the new ones.
Distinct source values, dates in the future of a clock that goes on, and places that nobody refers to are kept in a
finer grain that does add up (`source_values`, `future_dates`, `profile`). A key that one person's new row shares with
another person's row is not seen here: ids come from source rows, and PostgreSQL's keys would refuse it. The ledger is
of the replaced rows alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from etl.config import Settings
from etl.quality.dqd.catalogue import DqdCheck
from etl.quality.dqd.status import statuses
from etl.quality.model import CheckResult
from etl.quality.verdict import status_of

Counts = Mapping[str, tuple[int, int]]
# They look at the candidate's files, not at rows: what they found of the new ones is all there is to say.
OF_FILES = ("columns", "types")


def replaced(
    settings: Settings,
    dashboard: Sequence[DqdCheck],
    whole: Counts,
    before: Sequence[CheckResult],
    now: Sequence[CheckResult],
    finer: Mapping[str, tuple[int, int | None]],
) -> list[CheckResult]:
    """The results of a release in which some persons' rows (`before`) are replaced by others (`now`).

    `whole` are the last release's counts by check id, violated and denominator; `finer` those of the new one that do
    not add up, counted from what is kept of them (without a
    denominator where that one adds up).
    """
    gone = {result.check_id: result for result in before}
    totals = {result.check_id: _total(result, whole, gone, finer) for result in now}
    errors = {result.check_id: result.reason for result in now if result.status == "error"}
    judged = statuses(dashboard, totals, errors)
    found = []
    for result in now:
        violated, denominator = totals[result.check_id]
        status, reason = status_of(violated, denominator, result.allowed_percent), result.reason
        if result.check_id in judged:
            status, reason = judged[result.check_id].status, judged[result.check_id].reason
        found.append(replace(result, violated=violated, denominator=denominator, status=status, reason=reason))
    return found


def _total(
    now: CheckResult,
    whole: Counts,
    gone: Mapping[str, CheckResult],
    finer: Mapping[str, tuple[int, int | None]],
) -> tuple[int, int]:
    violated, denominator = now.violated, now.denominator
    if now.check_id in whole and now.check_id in gone and now.check_type not in OF_FILES:
        before, old = whole[now.check_id], gone[now.check_id]
        violated, denominator = before[0] + violated - old.violated, before[1] + denominator - old.denominator
    if now.check_id in finer:
        violated, counted = finer[now.check_id]
        denominator = denominator if counted is None else counted
    return violated, denominator
