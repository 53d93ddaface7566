"""The pure parts: counts to a verdict, answers to a decision."""

import ast
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from etl.quality import CheckResult, Threshold, Verdict, judge
from etl.quality import overrides as overrides_module
from etl.quality import regression as regression_module
from etl.quality import verdict as verdict_module
from etl.quality.compute import LEDGER_TYPES
from etl.quality.decision import Answer, decide
from etl.quality.overrides import ENFORCED, Override
from etl.quality.regression import RegressionLimits
from etl.quality.verdict import asked_severity, status_of


def result(check_id: str, violated: int, denominator: int = 100, severity: str = "critical") -> CheckResult:
    return CheckResult(check_id, "t", "c", "in_range", severity, violated, denominator, "passed", 0.0)


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


TODAY = date(2026, 11, 28)


def override(check_id: str, until: date = TODAY, **changes: Any) -> Override:
    made_at = datetime(2026, 11, 1, tzinfo=UTC)
    return replace(Override(1, check_id, "the laboratory moved", until, "kim", made_at), **changes)


def verdict_ids(verdict: Verdict) -> dict[str, list[str]]:
    return {
        "failed": [result.check_id for result in verdict.failed_critical],
        "regressions": [one.result.check_id for one in verdict.regressions],
        "warnings": [result.check_id for result in verdict.warnings],
        "overridden": [one.result.check_id for one in verdict.overridden],
    }


# violated of 1,000 before and now
WORSE = {
    "as before": (50, 50, False),
    "by rows and by share": (50, 60, True),
    "by share, but 9 rows": (0, 9, False),
    "by 10 rows, but less than a percent point": (50, 59, False),
    "better": (60, 50, False),
}


@pytest.mark.parametrize("case", WORSE)
def test_a_warning_stops_when_it_got_worse_by_rows_and_by_share(case: str) -> None:
    before, now, stops = WORSE[case]
    base = {"a": result("a", before, 1_000, "warning")}
    verdict = judge([result("a", now, 1_000, "warning")], {}, base=base)
    assert verdict.passed is not stops
    assert verdict_ids(verdict)["regressions" if stops else "warnings"] == ["a"]


def test_a_regression_is_told_with_the_counts_of_both_releases() -> None:
    found = judge([result("a", 120, 1_200, "warning")], {}, base={"a": result("a", 50, 1_000, "warning")})
    assert [str(one) for one in found.regressions] == ["a: 120 of 1,200, 50 of 1,000 in the last release"]


def test_more_rows_at_fewer_percent_are_no_regression() -> None:
    assert judge([result("a", 120, 10_000, "warning")], {}, base={"a": result("a", 50, 1_000, "warning")}).passed


def test_a_warning_within_its_limit_is_no_regression_however_much_it_rose() -> None:
    now = replace(result("a", 40, 1_000, "warning"), allowed_percent=5)
    assert judge([now], {}, base={"a": result("a", 0, 1_000, "warning")}).passed


@pytest.mark.parametrize(
    "before",
    [None, replace(result("a", 0, 0), status="not_applicable"), replace(result("a", 0, 9), status="error")],
    ids=["unknown", "not applicable", "error"],
)
def test_a_check_that_the_last_release_could_not_count_has_nothing_to_get_worse_than(
    before: CheckResult | None,
) -> None:
    base = {"a": before} if before else {}
    assert judge([result("a", 500, 1_000, "warning")], {}, base=base).passed


def test_info_never_stops() -> None:
    assert judge([result("a", 900, 1_000, "info")], {}, base={"a": result("a", 0, 1_000, "info")}).passed


def test_limits_of_a_regression_are_those_given() -> None:
    now, base = [result("a", 9, 1_000, "warning")], {"a": result("a", 0, 1_000, "warning")}
    assert judge(now, {}, base=base).passed
    assert not judge(now, {}, base=base, limits=RegressionLimits(percent_points=0.5, rows=5)).passed


def test_an_override_lets_a_failing_check_through_and_keeps_its_counts() -> None:
    failing = [result("a", 3), result("b", 0)]
    assert not judge(failing, {}).passed
    verdict = judge(failing, {}, overrides=[override("a")])
    assert verdict.passed
    assert verdict_ids(verdict) == {"failed": [], "regressions": [], "warnings": [], "overridden": ["a"]}
    assert verdict.beyond == {"a"}
    assert str(verdict.overridden[0]) == "a: 3 of 100, overridden by kim until 2026-11-28: the laboratory moved"


def test_an_override_lets_a_regression_through() -> None:
    now = result("a", 60, 1_000, "warning")
    base = {"a": result("a", 50, 1_000, "warning")}
    assert not judge([now], {}, base=base).passed
    assert judge([now], {}, base=base, overrides=[override("a")]).passed


def test_an_override_of_another_check_changes_nothing() -> None:
    failing = [result("person.a", 3)]
    assert not judge(failing, {}, overrides=[override("person.b"), override("death.*")]).passed
    assert judge(failing, {}, overrides=[override("person.*")]).passed


@pytest.mark.parametrize("check_type", [*ENFORCED, *LEDGER_TYPES])
def test_what_postgresql_enforces_and_the_ledger_stop_under_any_override(check_type: str) -> None:
    verdict = judge([replace(result("a", 1), check_type=check_type)], {}, overrides=[override("*")])
    assert not verdict.passed
    assert not verdict.overridden


def test_an_override_does_not_stand_in_for_a_count() -> None:
    verdict = judge([result("b", 0)], {"a": Threshold("critical")}, overrides=[override("a")])
    assert (verdict.passed, verdict.missing) == (False, ("a",))


def test_a_critical_check_in_error_stops_and_another_one_warns() -> None:
    broken = replace(result("a", 0, 0), status="error")
    verdict = judge([broken, replace(broken, check_id="b", severity="warning")], {})
    assert not verdict.passed
    assert verdict_ids(verdict) == {"failed": ["a"], "regressions": [], "warnings": ["b"], "overridden": []}
    assert [one.check_id for one in verdict.errors] == ["a", "b"]


def test_what_is_not_applicable_stays_so_whatever_was_counted() -> None:
    verdict = judge([replace(result("a", 5, 5), status="not_applicable", origin="dqd")], {})
    assert (verdict.passed, verdict.not_applicable) == (True, 1)


def test_a_result_without_a_threshold_keeps_its_own_limit() -> None:
    assert judge([replace(result("a", 3), allowed_percent=5)], {}).passed
    assert not judge([replace(result("a", 3), allowed_percent=2)], {}).passed


def test_a_threshold_of_another_severity_decides_over_regressions_too() -> None:
    now, base = [result("a", 60, 1_000)], {"a": result("a", 50, 1_000)}
    assert judge(now, {"a": Threshold("info")}, base=base).passed
    assert not judge(now, {"a": Threshold("warning")}, base=base).passed


def test_great_expectations_is_asked_what_follows_from_override_and_regression() -> None:
    asked = [asked_severity(result(name, 1, severity="warning"), {"b", "c"}, {"c"}) for name in "abc"]
    assert asked == ["warning", "critical", "info"]


@pytest.mark.parametrize("module", [verdict_module, regression_module, overrides_module], ids=lambda m: m.__name__)
def test_judging_again_can_read_no_data_and_no_clock(module: ModuleType) -> None:
    """Nothing that judges imports what could read a table, a file or the time of day."""
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    own = {f"etl.{name}" for name in ("errors", "quality.model", "quality.overrides", "quality.regression")}
    assert imported <= own | {"collections.abc", "dataclasses", "datetime", "difflib", "re", "typing"}
    called = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not called & {"today", "now", "open", "execute"}
