"""Drift, check by check: what a release may lose or gain against the last accepted one, and what it may not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from quality_helpers import COUGH, counts, hospital, write

from etl.config import settings
from etl.errors import CdmflowError, ContractError
from etl.quality import CheckResult
from etl.quality.drift import LIMITS, DriftLimits, drift_checks, more_failures, read_limits
from etl.quality.gx.expectations import TYPES
from etl.quality.profile import Profile, make_profile, merge_profiles, read_profile, unreferred
from etl.quality.verdict import status_of

CONDITION = "condition_concept_id"


@pytest.fixture(scope="module")
def limits(project: Path) -> DriftLimits:
    return read_limits(project / "expectations" / "drift.yml")


def profile(**measures: Any) -> Profile:
    """A profile of condition_occurrence: `rows=10`, or measures with items, `month={"2020-01": 5}`."""
    given = {name: {"": value} if isinstance(value, int) else value for name, value in measures.items()}
    return Profile({(name, "condition_occurrence"): items for name, items in given.items()})


def drifted(base: Profile, now: Profile, limits: DriftLimits) -> dict[str, CheckResult]:
    return {result.check_id: result for result in drift_checks(base, now, limits)}


ROWS = {  # rows before, rows now: violated, status
    "as before": (10_000, 10_000, 0, "passed"),
    "5 % fewer": (10_000, 9_500, 500, "passed"),
    "more than 5 % fewer": (10_000, 9_499, 501, "failed"),
    "half as many again": (10_000, 15_000, 5_000, "passed"),
    "more than half as many again": (10_000, 15_001, 5_001, "failed"),
    "a small table that loses nearly all": (99, 0, 0, "passed"),
    "a small table that loses 100 rows": (150, 50, 100, "failed"),
    "a table that is there for the first time": (0, 500, 500, "failed"),
    "a few rows of a table for the first time": (0, 99, 0, "not_applicable"),
    "a table that is gone": (10_000, 0, 10_000, "failed"),
}


@pytest.mark.parametrize("case", ROWS)
def test_rows_may_fall_by_5_percent_and_grow_by_50(case: str, limits: DriftLimits) -> None:
    before, after, violated, status = ROWS[case]
    found = drifted(profile(rows=before), profile(rows=after), limits)["drift.rows.condition_occurrence"]
    assert (found.violated, found.denominator, found.status) == (violated, before, status)
    assert (found.origin, found.severity) == ("drift", "critical")
    assert found.reason == (f"{after:,} now, {before:,} before" if violated else "")


def test_persons_are_told_apart_from_rows(limits: DriftLimits) -> None:
    base, now = (Profile({("rows", "person"): {"": persons}}) for persons in (2_000, 1_000))
    found = drifted(base, now, limits)
    assert {check_id: (r.violated, r.status) for check_id, r in found.items()} == {
        "drift.persons.person": (1_000, "failed")
    }


YEAR = {f"2025-{month:02}": 1_000 for month in range(1, 13)}
MONTHS: dict[str, tuple[dict[str, int], int, str]] = {
    "as before": ({}, 0, "passed"),
    "a month that loses a fifth": ({"2025-05": 800}, 0, "passed"),
    "a month that loses more": ({"2025-05": 799}, 201, "failed"),
    "two months": ({"2025-05": 0, "2025-06": 500}, 1_500, "failed"),
    "the third newest month": ({"2025-10": 0}, 0, "passed"),
    "the fourth newest month": ({"2025-09": 0}, 1_000, "failed"),
    "a month that gains": ({"2025-05": 9_000}, 0, "passed"),
}


@pytest.mark.parametrize("case", MONTHS)
def test_a_month_that_is_over_keeps_its_rows(case: str, limits: DriftLimits) -> None:
    changes, violated, status = MONTHS[case]
    base, now = profile(rows=12_000, month=YEAR), profile(rows=12_000, month=YEAR | changes)
    found = drifted(base, now, limits)["drift.rows_by_month.condition_occurrence"]
    assert (found.violated, found.denominator, found.status) == (violated, 9_000, status)


def test_the_months_that_lost_rows_are_named(limits: DriftLimits) -> None:
    now = profile(month=YEAR | {"2025-05": 0, "2025-06": 500})
    found = drifted(profile(rows=1, month=YEAR), now, limits)["drift.rows_by_month.condition_occurrence"]
    assert found.reason == "in 2025-05, 2025-06"


def test_a_record_of_2099_does_not_make_last_month_one_that_is_over(limits: DriftLimits) -> None:
    base = profile(rows=1, month=YEAR | {"2099-01": 1, "2099-02": 1, "2099-03": 1})
    found = drifted(base, profile(month=YEAR | {"2025-12": 0}), limits)["drift.rows_by_month.condition_occurrence"]
    assert (found.violated, found.denominator) == (0, 9_000)


def test_months_of_a_small_hospital_are_nothing_to_drift_from(limits: DriftLimits) -> None:
    few = {month: 99 for month in YEAR}
    found = drifted(profile(rows=1, month=few), profile(), limits)["drift.rows_by_month.condition_occurrence"]
    assert (found.violated, found.status) == (0, "not_applicable")


SHARES = {  # rows and mapped before, rows and mapped now: violated, status
    "as before": (10_000, 9_000, 10_000, 9_000, 0, "passed"),
    "2 points less": (10_000, 9_000, 10_000, 8_800, 200, "passed"),
    "more than 2 points less": (10_000, 9_000, 10_000, 8_799, 201, "failed"),
    "the same share of fewer rows": (10_000, 9_000, 5_000, 4_500, 0, "passed"),
    "10 points less of 900 rows": (1_000, 900, 900, 720, 0, "passed"),
    "the concept is gone": (10_000, 9_000, 10_000, 0, 9_000, "failed"),
    "mapped better": (10_000, 9_000, 10_000, 9_900, 0, "passed"),
    "no row is left": (10_000, 9_000, 0, 0, 0, "not_applicable"),
}


@pytest.mark.parametrize("case", SHARES)
def test_the_mapped_share_may_fall_by_2_points(case: str, limits: DriftLimits) -> None:
    before, mapped, after, mapped_now, violated, status = SHARES[case]
    base = profile(rows=before, mapped={CONDITION: mapped})
    now = profile(rows=after, mapped={CONDITION: mapped_now})
    found = drifted(base, now, limits)[f"drift.mapped_share.condition_occurrence.{CONDITION}"]
    assert (found.violated, found.denominator, found.status) == (violated, after, status)


def top(gone: int, of: int = 20, rows: int = 100) -> tuple[Profile, Profile]:
    before = {str(1_000 + number): rows for number in range(of)}
    now = {concept: count for concept, count in before.items() if int(concept) >= 1_000 + gone}
    return profile(rows=1, concept=before), profile(rows=1, concept=now)


@pytest.mark.parametrize(
    ("gone", "of", "status"),
    [(0, 20, "passed"), (3, 20, "passed"), (4, 20, "failed"), (3, 7, "passed"), (4, 7, "failed")],
)
def test_three_of_the_top_concepts_may_vanish(gone: int, of: int, status: str, limits: DriftLimits) -> None:
    found = drifted(*top(gone, of), limits)[f"drift.top_concepts.condition_occurrence.{CONDITION}"]
    assert (found.violated, found.denominator, found.status) == (gone, of, status)


@pytest.mark.parametrize("of", range(4, 60))
def test_how_many_may_vanish_does_not_depend_on_rounding(of: int, limits: DriftLimits) -> None:
    numbers = {**limits.numbers, "top_concepts": {**limits.numbers["top_concepts"], "top": 60}}
    wide = replace(limits, numbers=numbers)
    statuses = [drift_checks(*top(gone, of), wide)[-1].status for gone in (3, 4)]
    assert statuses == ["passed", "failed"]


def test_concepts_of_a_few_rows_come_and_go(limits: DriftLimits) -> None:
    found = drifted(*top(20, rows=99), limits)[f"drift.top_concepts.condition_occurrence.{CONDITION}"]
    assert (found.violated, found.status) == (0, "not_applicable")


def checked(*failing: str, rows: int = 12) -> list[CheckResult]:
    """A hundred checks with 2 violated rows each, and `rows` in those that fail."""
    return [
        CheckResult(check_id, "t", "c", "in_range", "warning", violated, 900, status, 0.0)
        for check_id in (f"check{number}" for number in range(100))
        for violated, status in [(rows, "failed") if check_id in failing else (2, "passed")]
    ]


def test_ten_more_failing_checks_than_before_are_drift(limits: DriftLimits) -> None:
    base = {result.check_id: result for result in checked("check0")}
    nine = more_failures(base, checked(*(f"check{number}" for number in range(10))), limits)
    ten = more_failures(base, checked(*(f"check{number}" for number in range(11))), limits)
    assert [(r.check_id, r.violated, r.denominator, r.status) for r in (nine, ten)] == [
        ("drift.checks", 0, 100, "passed"),
        ("drift.checks", 10, 100, "failed"),
    ]


def test_checks_that_fail_by_a_few_rows_more_are_no_drift(limits: DriftLimits) -> None:
    base = {result.check_id: result for result in checked()}
    some = [f"check{number}" for number in range(40)]
    assert more_failures(base, checked(*some, rows=11), limits).violated == 0
    assert more_failures(base, checked(*some, rows=12), limits).violated == 40


def test_checks_that_hold_again_make_up_for_others(limits: DriftLimits) -> None:
    some, others = [f"check{number}" for number in range(40)], [f"check{number}" for number in range(50, 75)]
    base = {result.check_id: result for result in checked(*others)}
    assert more_failures(base, checked(*some), limits).violated == 15


def test_checks_that_the_last_release_did_not_count_are_no_drift(limits: DriftLimits) -> None:
    new = [replace(result, check_id=f"dqd_{result.check_id}", status="failed") for result in checked()]
    found = more_failures({result.check_id: result for result in checked()}, checked() + new, limits)
    assert (found.violated, found.denominator) == (0, 100)


def test_every_drift_check_follows_from_its_own_counts(limits: DriftLimits) -> None:
    base = profile(rows=12_000, month=YEAR, mapped={CONDITION: 9_000}, concept={"1": 200, "2": 100})
    for found in drift_checks(base, profile(rows=5_000, month={}, mapped={}, concept={}), limits):
        assert found.status == status_of(found.violated, found.denominator, found.allowed_percent)


def test_every_kind_of_drift_has_an_expectation_to_ask() -> None:
    assert set(LIMITS) <= set(TYPES)


WRONG_LIMITS: dict[str, dict[str, Any]] = {
    "needs exactly the keys": {"months": {}},
    "must give rows a severity": {"rows": {"severity": "fatal"}},
    "must give rows exactly": {"rows": {"severity": "critical", "fall": 5}},
    "is no number from 0 on": {"checks": {"severity": "critical", "at_least": "ten"}},
    "must give regression exactly": {"regression": {"rows": 1}},
}


@pytest.mark.parametrize("message", WRONG_LIMITS, ids=WRONG_LIMITS)
def test_limits_that_are_not_what_they_must_be_are_refused(message: str, project: Path, tmp_path: Path) -> None:
    content = yaml.safe_load((project / "expectations" / "drift.yml").read_text())
    path = tmp_path / "drift.yml"
    path.write_text(yaml.safe_dump(content | WRONG_LIMITS[message]))
    with pytest.raises(ContractError, match=message):
        read_limits(path)


def test_a_profile_counts_rows_months_mapped_and_concepts(home: Path, tmp_path: Path) -> None:
    cdm = hospital()
    cdm["condition_occurrence"][0][CONDITION] = 0
    found = read_profile(
        make_profile(settings(), write(cdm, tmp_path / "run"), tmp_path / "quality" / "profile.parquet")
    )
    conditions = {measure: found.items(measure, "condition_occurrence") for measure in ("rows", "month", "concept")}
    assert conditions == {
        "rows": {"": 3},
        "month": {"2020-05": 1, "2019-01": 1, "2020-02": 1},
        "concept": {str(COUGH): 2},
    }
    assert found.items("mapped", "condition_occurrence") == {CONDITION: 2, "condition_type_concept_id": 3}
    assert found.count("rows", "person") == 2


def test_a_table_without_a_file_and_one_without_rows_have_the_same_profile(home: Path, tmp_path: Path) -> None:
    without = read_profile(make_profile(settings(), write(hospital(), tmp_path / "a"), tmp_path / "a.parquet"))
    empty = write(hospital() | {"note": []}, tmp_path / "b")
    assert read_profile(make_profile(settings(), empty, tmp_path / "b.parquet")) == without


def test_a_hospital_does_not_drift_from_itself(home: Path, tmp_path: Path, limits: DriftLimits) -> None:
    found = read_profile(make_profile(settings(), write(hospital(), tmp_path / "run"), tmp_path / "profile.parquet"))
    results = drift_checks(found, found, limits)
    assert {result.check_type for result in results} == set(LIMITS) - {"checks"}
    assert not [result for result in results if result.violated]


def test_a_profile_that_does_not_hold_what_is_replaced_in_it_is_refused(home: Path, tmp_path: Path) -> None:
    small = hospital() | {"visit_occurrence": []}
    base = make_profile(settings(), write(small, tmp_path / "base"), tmp_path / "base.parquet")
    more = make_profile(settings(), write(hospital(), tmp_path / "more"), tmp_path / "more.parquet")
    with pytest.raises(CdmflowError, match="does not hold what is to be replaced"):
        merge_profiles(base, more, more, tmp_path / "merged.parquet")
    assert not (tmp_path / "merged.parquet").exists()


def test_places_that_nobody_names_are_counted_from_a_profile_as_by_a_scan(home: Path, tmp_path: Path) -> None:
    cdm = hospital() | {"care_site": [{"care_site_id": 100_400}, {"care_site_id": 200_400}]}
    cdm["visit_occurrence"][0]["care_site_id"] = 100_400
    scanned = {
        check_id: (result.violated, result.denominator)
        for check_id, result in counts(cdm, tmp_path).items()
        if result.check_type == "referred_to"
    }
    profiled = unreferred(read_profile(make_profile(settings(), tmp_path / "run", tmp_path / "profile.parquet")))
    assert scanned == profiled
    assert scanned["care_site.referred_to.care_site_id"] == (1, 2)
