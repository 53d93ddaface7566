"""Overrides: which check they name, until when they hold, and what they cannot let through."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from etl.errors import UsageError
from etl.quality import Check, CheckResult
from etl.quality.compute import LEDGER_TYPES
from etl.quality.defaults import structural
from etl.quality.overrides import (
    ENFORCED,
    LEDGER,
    Override,
    checked_pattern,
    checked_reason,
    checked_until,
    in_force,
    matches,
    overriding,
    why_not,
)

TODAY = date(2026, 11, 28)
MADE = Override(1, "drift.rows.*", "a new laboratory", TODAY, "kim", datetime(2026, 11, 1, tzinfo=UTC))
FUTURE_VISITS = Check("visit_occurrence", "visit_start_date", "not_in_future", "warning")
PERSON = Check("visit_occurrence", "person_id", "required", "critical")
KNOWN = {check.check_id: check for check in (FUTURE_VISITS, PERSON)}


def test_an_override_holds_through_its_last_day_and_expires_the_next() -> None:
    assert in_force([MADE], TODAY) == (MADE,)
    assert in_force([MADE], TODAY + timedelta(days=1)) == ()


def test_a_withdrawn_override_does_not_hold() -> None:
    assert in_force([replace(MADE, withdrawn_at=MADE.made_at)], TODAY) == ()


def test_of_several_overrides_of_a_check_the_longest_is_told() -> None:
    longer = replace(MADE, override_id=2, check_id="visit_occurrence.*", until=TODAY + timedelta(days=3))
    held = in_force([replace(MADE, check_id=FUTURE_VISITS.check_id), longer], TODAY)
    assert overriding(FUTURE_VISITS, held) == longer


@pytest.mark.parametrize(
    ("pattern", "check_id", "named"),
    [
        ("drift.rows.measurement", "drift.rows.measurement", True),
        ("drift.rows.measurement", "drift.rows.measurements", False),
        ("drift.rows.*", "drift.rows.measurement", True),
        ("*.measurement", "drift.rows.measurement", True),
        ("drift.*.measurement", "drift.rows_by_month.measurement", True),
        ("drift.rows.*", "driftXrows.measurement", False),
        ("drift.rows.m", "drift.rows.measurement", False),
    ],
)
def test_a_pattern_names_checks_letter_by_letter_but_for_stars(pattern: str, check_id: str, named: bool) -> None:
    assert matches(pattern, check_id) is named


def test_what_cannot_be_overridden_is_all_of_the_structure_and_all_of_the_ledger(project: object) -> None:
    from etl.cdm import tables

    assert {group.check for table in tables().values() for group in structural(table)} == set(ENFORCED)
    assert set(LEDGER_TYPES) == set(LEDGER)


def test_the_same_word_of_another_origin_can_be_overridden() -> None:
    """OHDSI's own checks never are what PostgreSQL enforces: ours beside them stop."""
    dqd = CheckResult("x", "person", "person_id", "required", "critical", 1, 2, "failed", 0.0, origin="dqd")
    assert why_not(replace(dqd, origin="cdm"))
    assert not why_not(dqd)


def test_a_pattern_gives_the_checks_that_it_names() -> None:
    assert checked_pattern("visit_occurrence.not_*", KNOWN) == [FUTURE_VISITS.check_id]


def test_an_unknown_check_is_refused_with_the_nearest_known() -> None:
    with pytest.raises(UsageError) as refused:
        checked_pattern("visit_ocurrence.not_in_future.visit_start", KNOWN)
    assert refused.value.todo.startswith("Near it: visit_occurrence.not_in_future.visit_start_date")


def test_a_check_that_postgresql_enforces_is_refused_with_the_reason() -> None:
    with pytest.raises(UsageError, match="PostgreSQL enforces it"):
        checked_pattern("visit_occurrence.required.person_id", KNOWN)


def test_a_pattern_that_names_such_a_check_among_others_is_refused() -> None:
    with pytest.raises(UsageError, match=r"visit_occurrence\.required\.person_id cannot be overridden"):
        checked_pattern("visit_occurrence.*", KNOWN)


@pytest.mark.parametrize("text", ["2026-11-27", "2027-11-30", "tomorrow", ""])
def test_a_last_day_that_is_past_or_over_a_year_ahead_or_no_date_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        checked_until(text, TODAY)


@pytest.mark.parametrize("text", ["2026-11-28", "2027-11-29"])
def test_today_and_366_days_ahead_can_be_the_last_day(text: str) -> None:
    assert checked_until(text, TODAY) == date.fromisoformat(text)


@pytest.mark.parametrize("text", ["", "  \n ", "x" * 501])
def test_an_override_without_a_reason_that_can_be_read_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        checked_reason(text)


def test_a_reason_becomes_one_line() -> None:
    assert checked_reason(" a new\n laboratory ") == "a new laboratory"
