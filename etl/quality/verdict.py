"""From counts to a verdict. Pure: stored counts can be judged again under other thresholds, without SQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from etl.quality.model import CheckResult


@dataclass(frozen=True)
class Threshold:
    """How much of a check's denominator may be violated, and what follows when more is."""

    severity: str
    allowed_percent: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """The judged counts. `missing` are checks with a threshold and no count; they too shut the gate."""

    passed: bool
    failed_critical: tuple[CheckResult, ...]
    warnings: tuple[CheckResult, ...]
    missing: tuple[str, ...]
    evaluated: int
    not_applicable: int


def status_of(violated: int, denominator: int, allowed_percent: float) -> str:
    """passed, failed, or not_applicable when there was nothing to count.

    Integers throughout where nothing is allowed, so that one row in a billion is not rounded away.
    """
    if violated == 0:
        return "passed" if denominator else "not_applicable"
    return "failed" if violated * 100 > allowed_percent * denominator else "passed"


def judge(results: Sequence[CheckResult], thresholds: Mapping[str, Threshold]) -> Verdict:
    """The verdict on these counts under these thresholds, by check id.

    A result without a threshold keeps its own severity and may have no violation. No result at all does not pass.
    """
    statuses: dict[str, str] = {}
    failed: list[CheckResult] = []
    warnings: list[CheckResult] = []
    for result in results:
        threshold = thresholds.get(result.check_id, Threshold(result.severity))
        statuses[result.check_id] = status_of(result.violated, result.denominator, threshold.allowed_percent)
        if statuses[result.check_id] == "failed":
            (failed if threshold.severity == "critical" else warnings).append(result)
    missing = tuple(sorted(set(thresholds) - set(statuses)))
    return Verdict(
        passed=bool(results) and not failed and not missing,
        failed_critical=tuple(failed),
        warnings=tuple(warnings),
        missing=missing,
        evaluated=len(statuses),
        not_applicable=sum(status == "not_applicable" for status in statuses.values()),
    )
