"""What counts as accepted, and which results put rows into quarantine; pure, on counts."""

from dataclasses import replace

import pytest

from etl.pipeline.quarantine import Settled, row_checks, without_accepted
from etl.quality import CheckResult

BORN = CheckResult(
    check_id="condition_occurrence.after_birth.condition_start_date", table="condition_occurrence",
    column="condition_start_date", check_type="after_birth", severity="critical", violated=3, denominator=100,
    status="failed", seconds=0.0, allowed_percent=1.0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("accepted", "violated", "status"), [(0, 3, "failed"), (1, 2, "failed"), (2, 1, "passed"), (5, 0, "passed")]
)
def test_accepted_rows_no_longer_count_against_their_check(accepted: int, violated: int, status: str) -> None:
    [judged] = without_accepted([BORN], {BORN.check_id: accepted})
    assert (judged.violated, judged.denominator, judged.status) == (violated, 100, status)
    assert without_accepted([BORN], {"another.check": accepted}) == [BORN]


def test_an_error_stays_one_whatever_is_accepted() -> None:
    broken = replace(BORN, status="error")
    assert without_accepted([broken], {BORN.check_id: 3}) == [broken]


@pytest.mark.parametrize(
    "change",
    [
        {"severity": "warning"},
        {"status": "passed"},
        {"origin": "drift"},
        {"check_type": "has_rows"},
        {"check_type": "accounting", "table": "accounting"},
    ],
)
def test_only_failed_critical_checks_of_single_rows_put_rows_into_quarantine(change: dict[str, str]) -> None:
    assert row_checks([BORN, replace(BORN, **change)]) == [BORN]  # type: ignore[arg-type]


def test_a_refusal_says_what_waits_and_what_has_no_source_row() -> None:
    assert str(Settled(waiting=0, left=4, beyond=0, unplaced=0)) == ""
    assert str(Settled(waiting=10_000, left=0, beyond=2, unplaced=7)) == (
        "10,000 source rows are in quarantine and 2 more that are counted only (./cdmflow quarantine list); "
        "7 violating rows are derived and have no source row."
    )
