"""What got worse than in the last accepted release. Pure: counts in, findings out.

A check of severity `warning` reports what a source has always had. It stops a publish only when more is wrong than
before: in share and in rows, so that neither a growing hospital nor one bad row in a small one stops a night.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from etl.quality.model import CheckResult


class Counts(Protocol):
    """What is kept of a check in the last accepted release: a CheckResult, or a row of `etl.check_result`."""

    @property
    def violated(self) -> int: ...
    @property
    def denominator(self) -> int: ...
    @property
    def status(self) -> str: ...


@dataclass(frozen=True)
class RegressionLimits:
    """How much worse a warning must be to stop: its violated share by percent points, and its violated rows."""

    percent_points: float = 1.0
    rows: int = 10


DEFAULT_LIMITS = RegressionLimits()


@dataclass(frozen=True)
class Regression:
    """A warning that got worse, with the counts of the last accepted release."""

    result: CheckResult
    violated_before: int
    denominator_before: int

    def __str__(self) -> str:
        now = self.result
        return (
            f"{now.check_id}: {now.violated:,} of {now.denominator:,}, "
            f"{self.violated_before:,} of {self.denominator_before:,} in the last release"
        )


def regressions(
    base: Mapping[str, Counts], failing: Sequence[CheckResult], limits: RegressionLimits = DEFAULT_LIMITS
) -> list[Regression]:
    """Which of these warnings, that fail now, got worse than in `base` (by check id) by both limits.

    A check that the last release did not count, or where it had nothing to count, has nothing to get worse than.
    """
    found = []
    for result in failing:
        before = base.get(result.check_id)
        if before is None or before.status in ("error", "not_applicable") or not before.denominator:
            continue
        if _is_worse(result, before, limits):
            found.append(Regression(result, before.violated, before.denominator))
    return found


def _is_worse(now: CheckResult, before: Counts, limits: RegressionLimits) -> bool:
    # Cross-multiplied: shares of a billion rows are not told apart by floating point.
    risen = 100 * (now.violated * before.denominator - before.violated * now.denominator)
    share_rose = risen >= limits.percent_points * now.denominator * before.denominator
    return share_rose and now.violated - before.violated >= limits.rows
