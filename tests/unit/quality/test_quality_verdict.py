"""The pure parts: counts to a verdict, answers to a decision."""

from collections.abc import Sequence

import pytest

from etl.quality import CheckResult, Threshold, judge
from etl.quality.decision import Answer, decide
from etl.quality.verdict import status_of


def result(check_id: str, violated: int, denominator: int = 100, severity: str = "critical") -> CheckResult:
    return CheckResult(check_id, "t", "c", "required", severity, violated, denominator, "passed", 0.0)


def answer(asked: str, *, success: bool = True, severity: str = "critical", raised: bool = False) -> Answer:
    return Answer("person", asked, severity, success, raised, violated=0 if success else 3, denominator=10)


@pytest.mark.parametrize(
    ("violated", "denominator", "allowed", "status"),
    [
        (0, 100, 0, "passed"),
        (0, 0, 0, "not_applicable"),
        (1, 100, 1, "passed"),
        (2, 100, 1, "failed"),
        (1, 10**12, 0, "failed"),
        (1, 0, 5, "failed"),
    ],
)
def test_a_status_follows_from_counts_and_the_allowed_share(
    violated: int, denominator: int, allowed: float, status: str
) -> None:
    assert status_of(violated, denominator, allowed) == status


def test_stored_counts_are_judged_again_under_other_thresholds() -> None:
    counted = [result("a", 3), result("b", 0)]
    assert not judge(counted, {"a": Threshold("critical"), "b": Threshold("critical")}).passed
    lenient = judge(counted, {"a": Threshold("critical", 5), "b": Threshold("critical")})
    assert lenient.passed
    assert lenient.evaluated == 2
    warned = judge(counted, {"a": Threshold("warning"), "b": Threshold("critical")})
    assert warned.passed
    assert [warning.check_id for warning in warned.warnings] == ["a"]


def test_no_result_and_a_missing_result_do_not_pass() -> None:
    assert not judge([], {}).passed
    verdict = judge([result("a", 0)], {"a": Threshold("critical"), "b": Threshold("info")})
    assert (verdict.passed, verdict.missing) == (False, ("b",))


def reasons(asked: Sequence[str], *answers: Answer, judged: dict[str, bool] | None = None) -> str:
    return "\n".join(decide({"person": asked}, answers, judged).reasons)


def test_all_answered_and_held_leaves_the_gate_open() -> None:
    assert not reasons(["a", "b"], answer("a"), answer("b"))


def test_a_failed_warning_leaves_the_gate_open_and_is_told() -> None:
    decision = decide({"person": ["a"]}, [answer("a", success=False, severity="warning")])
    assert not decision.reasons
    assert str(decision.warnings[0]) == "a: 3 of 10"


def test_a_failed_critical_check_shuts_the_gate_with_its_counts() -> None:
    assert reasons(["a"], answer("a", success=False)) == "a: 3 of 10"


def test_an_answer_that_raised_shuts_the_gate_even_if_it_says_success() -> None:
    assert "could not be evaluated" in reasons(["a"], answer("a", raised=True))


def test_a_question_left_out_shuts_the_gate() -> None:
    assert reasons(["a", "b"], answer("a")) == "b: Great Expectations left it out"


def test_an_empty_suite_and_no_suite_shut_the_gate() -> None:
    assert "the suite is empty" in reasons([])
    assert decide({}, []).reasons


def test_a_disagreement_between_great_expectations_and_the_verdict_shuts_the_gate() -> None:
    assert "disagree" in reasons(["a"], answer("a"), judged={"a": False})
