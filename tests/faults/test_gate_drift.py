"""The drift gate: Great Expectations decides, and an override changes what follows, not what is told."""

from dataclasses import replace
from pathlib import Path

import pytest

from etl.quality import CheckResult, GateResult, judge
from etl.quality.drift import asked, drift_checks, more_failures, read_limits
from etl.quality.gate import gate_drift
from etl.quality.profile import Profile
from etl.quality.verdict import asked_severity

pytestmark = pytest.mark.faults


def hospital_of(measurements: int) -> Profile:
    return Profile(
        {
            ("rows", "person"): {"": 1_000},
            ("rows", "measurement"): {"": measurements},
            ("mapped", "measurement"): {"measurement_concept_id": measurements},
            ("month", "measurement"): {f"2025-0{month}": measurements // 5 for month in range(1, 6)},
            ("concept", "measurement"): {str(concept): measurements // 20 for concept in range(1, 21)},
        }
    )


@pytest.fixture
def results(project: Path) -> list[CheckResult]:
    limits = read_limits(project / "expectations" / "drift.yml")
    found = drift_checks(hospital_of(10_000), hospital_of(9_000), limits)
    return [*found, more_failures({}, found, limits)]


def gate(results: list[CheckResult], folder: Path, overridden: frozenset[str] = frozenset()) -> GateResult:
    severities = {result.check_id: asked_severity(result, (), overridden) for result in results}
    notes = {result.check_id: result.reason for result in results if result.reason}
    return gate_drift(results, asked(results), folder / "report", severities, notes)


def test_a_tenth_of_the_rows_gone_shuts_the_gate_with_check_counts_and_both_releases(
    results: list[CheckResult], home: Path, tmp_path: Path
) -> None:
    found = gate(results, tmp_path)
    assert not found.passed
    assert found.evaluated == found.expected == len(results) == 6
    assert found.reasons == ("drift.rows.measurement: 1,000 of 10,000 (9,000 now, 10,000 before)",)
    assert "measurement has about as many rows" in (tmp_path / "report" / "drift.html").read_text()


def test_under_an_override_the_same_drift_is_told_and_lets_the_release_through(
    results: list[CheckResult], home: Path, tmp_path: Path
) -> None:
    found = gate(results, tmp_path, frozenset({"drift.rows.measurement"}))
    assert found.passed
    assert [(check.check_id, check.violated) for check in found.warnings] == [("drift.rows.measurement", 1_000)]


def test_the_pure_verdict_and_great_expectations_agree_on_every_drift_check(
    results: list[CheckResult], home: Path, tmp_path: Path
) -> None:
    verdict = judge(results, {})
    assert {check.check_id for check in gate(results, tmp_path).failed} == verdict.beyond


def test_a_drift_check_that_was_not_counted_shuts_the_gate(
    results: list[CheckResult], home: Path, tmp_path: Path
) -> None:
    calm = [replace(result, violated=0, status="passed") for result in results]
    severities = {result.check_id: result.severity for result in calm}
    found = gate_drift(calm[1:], asked(calm), tmp_path / "report", severities, {})
    assert not found.passed
    assert found.reasons == (f"drift.{calm[0].check_type}.critical: could not be evaluated",)
