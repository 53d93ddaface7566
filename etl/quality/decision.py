"""From answers to an open or shut gate. Knows only what was asked and what was answered, not by whom."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from etl.quality.model import FailedCheck


@dataclass(frozen=True)
class Answer:
    """What was said of one expectation. `raised` means that it could not be told, whatever `success` says."""

    suite: str
    asked: str
    severity: str
    success: bool
    raised: bool
    violated: int = 0
    denominator: int = 0


@dataclass(frozen=True)
class Decision:
    """`reasons` is empty exactly when the gate is open."""

    evaluated: int
    expected: int
    failed: tuple[FailedCheck, ...]
    warnings: tuple[FailedCheck, ...]
    reasons: tuple[str, ...]


def decide(
    asked: Mapping[str, Iterable[str]],
    answers: Sequence[Answer],
    judged: Mapping[str, bool] | None = None,
    broken: Mapping[str, Sequence[FailedCheck]] | None = None,
) -> Decision:
    """The decision on what was `asked`, ids of expectations by suite.

    Shut when a critical check failed, an expectation raised or was not answered, a suite is empty, nothing was asked,
    or an answer differs from `judged`, the outcome of the same counts computed apart from Great Expectations. `broken`
    names the checks of an expectation that do not hold, where it speaks of more than itself.
    """
    expected = {suite: set(ids) for suite, ids in asked.items()}
    answered = {(answer.suite, answer.asked): answer for answer in answers}
    usable = [answer for answer in answered.values() if not answer.raised]
    failed = [answer for answer in usable if not answer.success and answer.severity == "critical"]
    warnings = [answer for answer in usable if not answer.success and answer.severity != "critical"]
    told = broken or {}
    stopping = [check for answer in failed for check in _failed(answer, told)]
    reasons = [str(check) for check in stopping]
    reasons += [f"{answer.asked}: could not be evaluated" for answer in answered.values() if answer.raised]
    for suite, ids in expected.items():
        if not ids:
            reasons.append(f"{suite}: the suite is empty, and an empty suite lets everything through")
        missing = sorted(check_id for check_id in ids if (suite, check_id) not in answered)
        reasons += [f"{check_id}: Great Expectations left it out" for check_id in missing]
    if not expected:
        reasons.append("nothing was asked: there is no suite")
    for answer in usable:
        if judged is not None and judged.get(answer.asked) != answer.success:
            reasons.append(f"{answer.asked}: Great Expectations and the verdict on the same counts disagree")
    return Decision(
        evaluated=len(usable),
        expected=sum(len(ids) for ids in expected.values()),
        failed=tuple(stopping),
        warnings=tuple(check for answer in warnings for check in _failed(answer, told)),
        reasons=tuple(reasons),
    )


def _failed(answer: Answer, broken: Mapping[str, Sequence[FailedCheck]]) -> Sequence[FailedCheck]:
    alone = FailedCheck(answer.asked, answer.severity, answer.violated, answer.denominator)
    return broken.get(answer.asked) or (alone,)
