"""From counts to a verdict. Pure: stored counts can be judged again under other thresholds, without SQL."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from etl.quality.model import CheckResult
from etl.quality.overrides import Overridden, Override, overriding
from etl.quality.regression import DEFAULT_LIMITS, Counts, Regression, RegressionLimits, regressions


@dataclass(frozen=True)
class Threshold:
    """How much of a check's denominator may be violated, and what follows when more is."""

    severity: str
    allowed_percent: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """The judged counts. A check that does not hold is in one of failed_critical, regressions, warnings, overridden.

    `missing` are checks with a threshold and no count; they too shut the gate. `errors` could not be counted: by their
    severity they are among the failed, the warnings or the overridden, too.
    """

    passed: bool
    failed_critical: tuple[CheckResult, ...]
    warnings: tuple[CheckResult, ...]
    missing: tuple[str, ...]
    evaluated: int
    not_applicable: int
    regressions: tuple[Regression, ...] = ()
    overridden: tuple[Overridden, ...] = ()
    errors: tuple[CheckResult, ...] = ()

    @property
    def beyond(self) -> frozenset[str]:
        """The ids of all checks that do not hold, whatever follows from it."""
        found = [*self.failed_critical, *self.warnings]
        found += [one.result for one in self.regressions] + [one.result for one in self.overridden]
        return frozenset(result.check_id for result in found)


def status_of(violated: int, denominator: int, allowed_percent: float) -> str:
    """passed, failed, or not_applicable when there was nothing to count.

    Integers throughout where nothing is allowed, so that one row in a billion is not rounded away.
    """
    if violated == 0:
        return "passed" if denominator else "not_applicable"
    return "failed" if violated * 100 > allowed_percent * denominator else "passed"


def judge(
    results: Sequence[CheckResult],
    thresholds: Mapping[str, Threshold],
    *,
    base: Mapping[str, Counts] | None = None,
    overrides: Sequence[Override] = (),
    limits: RegressionLimits = DEFAULT_LIMITS,
) -> Verdict:
    """The verdict on these counts under these thresholds, by check id.

    A result without a threshold keeps its own severity and limit. `base` are the counts of the last accepted release,
    by check id: a warning that got worse than there by the `limits` stops. `overrides` are those in force. An error and
    what is not applicable stay so under any threshold. No result at all does not pass.
    """
    judged = [_under(result, thresholds.get(result.check_id)) for result in results]
    beyond = [result for result in judged if result.status in ("failed", "error")]
    by = {result.check_id: found for result in beyond if (found := overriding(result, overrides))}
    left = [result for result in beyond if result.check_id not in by]
    failed = [result for result in left if result.severity == "critical"]
    worse = regressions(base or {}, [result for result in left if _may_regress(result)], limits)
    stops = {regression.result.check_id for regression in worse}
    missing = tuple(sorted(set(thresholds) - {result.check_id for result in judged}))
    return Verdict(
        passed=bool(judged) and not failed and not worse and not missing,
        failed_critical=tuple(failed),
        warnings=tuple(r for r in left if r.severity != "critical" and r.check_id not in stops),
        missing=missing,
        evaluated=len({result.check_id for result in judged}),
        not_applicable=sum(result.status == "not_applicable" for result in judged),
        regressions=tuple(worse),
        overridden=tuple(Overridden(r, by[r.check_id]) for r in beyond if r.check_id in by),
        errors=tuple(result for result in judged if result.status == "error"),
    )


def asked_severity(result: CheckResult, regressions: Collection[str], overridden: Collection[str]) -> str:
    """The severity with which Great Expectations is asked, given the ids of regressions and of overridden checks.

    `critical` is what stops there: a regression is asked so, an overridden check as `info`.
    """
    if result.check_id in overridden:
        return "info"
    return "critical" if result.check_id in regressions else result.severity


def _under(result: CheckResult, threshold: Threshold | None) -> CheckResult:
    threshold = threshold or Threshold(result.severity, result.allowed_percent)
    status = result.status
    if status not in ("error", "not_applicable"):
        status = status_of(result.violated, result.denominator, threshold.allowed_percent)
    return replace(result, severity=threshold.severity, allowed_percent=threshold.allowed_percent, status=status)


def _may_regress(result: CheckResult) -> bool:
    return result.severity == "warning" and result.status == "failed"
