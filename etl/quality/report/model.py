"""What a quality page tells of. Ids, counts, and what engineers wrote of their checks; never a cell's value."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from etl.quality.model import CheckResult
from etl.quality.overrides import Override

CATEGORIES = ("Conformance", "Completeness", "Plausibility")


@dataclass(frozen=True)
class Quarantined:
    """Rows of a source table held back by a check or by landing, and for how many nights the oldest."""

    table: str
    check_id: str
    rows: int
    nights: int


@dataclass(frozen=True)
class ReleaseCounts:
    """A release's checks by outcome; `critical`, `warning` and `info` are failures of that severity."""

    name: str
    passed: int
    critical: int
    warning: int
    info: int
    errors: int = 0
    not_applicable: int = 0

    @property
    def failed(self) -> int:
        return self.critical + self.warning + self.info + self.errors

    @property
    def judged(self) -> int:
        """All checks that had something to count."""
        return self.passed + self.failed

    @property
    def share_passed(self) -> float:
        return self.passed / self.judged if self.judged else 1.0


@dataclass(frozen=True)
class QualityReport:
    """All that the page shows.

    `reasons` say why the gate is shut, `regressed` are warnings that got so much worse that they shut it, by check id;
    `overrides` are those in force. `before` are the results of the release that is served (None when there is
    none), `trend` the releases' counts, oldest first, this run's last. `pages` are Great Expectations' pages beside
    this one, by suite.
    """

    source: str
    run_id: str
    data_until: date | None
    passed: bool
    results: Sequence[CheckResult]
    reasons: Sequence[str] = ()
    before: Sequence[CheckResult] | None = None
    before_release: int | None = None
    overrides: Sequence[Override] = ()
    regressed: Collection[str] = ()
    trend: Sequence[ReleaseCounts] = ()
    quarantined: Sequence[Quarantined] = ()
    pages: Mapping[str, str] = field(default_factory=dict)


def counts_of(name: str, results: Sequence[CheckResult]) -> ReleaseCounts:
    """The outcomes of these results."""
    failed = Counter(result.severity for result in results if result.status == "failed")
    status = Counter(result.status for result in results)
    return ReleaseCounts(
        name=name,
        passed=status["passed"],
        critical=failed["critical"],
        warning=failed["warning"],
        info=failed["info"],
        errors=status["error"],
        not_applicable=status["not_applicable"],
    )
