"""What changed between two releases' results: failures that are new, that are gone, that got worse."""

from collections.abc import Sequence
from dataclasses import dataclass

from etl.quality.model import SEVERITIES, CheckResult

BROKEN = ("failed", "error")


@dataclass(frozen=True)
class Comparison:
    """`new` fail now and did not; `resolved` failed and do not any more; `worse` fail in both, with a larger share now.

    Each is a pair of now and before; of `new`, before is None where the check was not asked then.
    """

    new: tuple[tuple[CheckResult, CheckResult | None], ...]
    resolved: tuple[tuple[CheckResult, CheckResult], ...]
    worse: tuple[tuple[CheckResult, CheckResult], ...]


def compare(now: Sequence[CheckResult], before: Sequence[CheckResult]) -> Comparison:
    """Each part with the gravest first. A check that is not asked any more is not resolved."""
    then = {result.check_id: result for result in before}
    pairs = [(result, then.get(result.check_id)) for result in gravest_first(now)]
    known = [(result, old) for result, old in pairs if old is not None]
    return Comparison(
        new=tuple((result, old) for result, old in pairs if is_broken(result) and (old is None or not is_broken(old))),
        resolved=tuple((result, old) for result, old in known if is_broken(old) and not is_broken(result)),
        worse=tuple(
            (result, old)
            for result, old in known
            if result.status == old.status == "failed" and share_of(result) > share_of(old)
        ),
    )


def is_broken(result: CheckResult) -> bool:
    """Failed, or could not be told."""
    return result.status in BROKEN


def share_of(result: CheckResult) -> float:
    """Violated of the denominator, 0 to 1; all of it where violations have no denominator."""
    if result.denominator:
        return result.violated / result.denominator
    return float(result.violated > 0)


def gravest_first(results: Sequence[CheckResult]) -> list[CheckResult]:
    """By severity, then what could not be told, then the larger share, then the id."""
    return sorted(
        results,
        key=lambda result: (
            SEVERITIES.index(result.severity),
            result.status != "error",
            -share_of(result),
            result.check_id,
        ),
    )
