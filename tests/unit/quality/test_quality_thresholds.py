"""Stored counts judged by other thresholds: nothing is counted, only what a rule names changes."""

from pathlib import Path

import pytest

from etl.errors import ContractError
from etl.quality import CheckResult
from etl.quality.thresholds import Rule, apply_thresholds, read_thresholds


def result(check_id: str, violated: int, denominator: int = 100, **changes: object) -> CheckResult:
    told: dict[str, object] = {"severity": "warning", "status": "failed" if violated else "passed", "origin": "dqd"}
    told |= changes
    return CheckResult(
        check_id, "person", "", "fkDomain", violated=violated, denominator=denominator, seconds=0.0, **told
    )  # type: ignore[arg-type]


def written(folder: Path, text: str) -> Path:
    path = folder / "site.yml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_gives_severities_and_limits_by_id_or_pattern(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "- check: field_fkdomain_*\n  severity: info\n  allowed_percent: 10\n"
        "- check: person.required.person_id\n  severity: warning\n",
    )
    assert read_thresholds(path) == (
        Rule("field_fkdomain_*", "info", 10.0),
        Rule("person.required.person_id", "warning", None),
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not a list"),
        ("check: a", "not a list"),
        ("- check: a", "not of check with severity"),
        ("- check: a\n  severity: fatal", "unknown severity fatal"),
        ("- check: a\n  allowed_percent: 101", "not between 0 and 100"),
        ("- check: a\n  allowed_percent: yes", "not between 0 and 100"),
        ("- check: a\n  severity: info\n  reason: because", "not of check with severity"),
        ("- severity: info\n  allowed_percent: 1", "not of check with severity"),
        ("- check: 5\n  severity: info", "not an id or a pattern"),
        ("- check: [", "cannot be read"),
    ],
)
def test_a_file_of_another_form_is_refused_and_named(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ContractError, match=complaint) as caught:
        read_thresholds(written(tmp_path, text))
    assert caught.value.what.startswith("site.yml")


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"none\.yml cannot be read \(FileNotFoundError\)"):
        read_thresholds(tmp_path / "none.yml")


@pytest.mark.parametrize(
    ("violated", "denominator", "allowed", "status"),
    [
        (1, 1_000_000_000, 0, "failed"),
        (0, 100, 0, "passed"),
        (5, 100, 5, "passed"),
        (6, 100, 5, "failed"),
        (5, 100, 4.9, "failed"),
        (100, 100, 100, "passed"),
    ],
)
def test_a_limit_of_nothing_fails_on_any_violation_and_otherwise_the_share_must_be_greater(
    violated: int, denominator: int, allowed: float, status: str
) -> None:
    [judged] = apply_thresholds([result("a", violated, denominator)], [Rule("a", allowed_percent=allowed)])
    assert (judged.status, judged.allowed_percent) == (status, allowed)


@pytest.mark.parametrize("status", ["error", "not_applicable"])
@pytest.mark.parametrize("origin", ["cdm", "dqd", "drift"])
def test_what_could_not_be_counted_and_what_does_not_apply_stay_so(status: str, origin: str) -> None:
    stored = result("a", 0, 0, status=status, origin=origin)
    assert apply_thresholds([stored], [Rule("a", allowed_percent=100)])[0].status == status


def test_a_check_of_dqd_without_rows_that_passed_still_passes() -> None:
    assert apply_thresholds([result("a", 0, 0)], [Rule("a", allowed_percent=5)])[0].status == "passed"


def test_only_what_a_rule_names_is_judged_again() -> None:
    odd = result("b", 50, status="passed", allowed_percent=0.0)
    judged = apply_thresholds([result("a", 3), odd], [Rule("a", allowed_percent=5)])
    assert [one.status for one in judged] == ["passed", "passed"]
    assert judged[1] == odd


def test_a_severity_alone_leaves_the_status_and_the_limit() -> None:
    [judged] = apply_thresholds([result("a", 3, allowed_percent=1.0)], [Rule("a", severity="info")])
    assert (judged.severity, judged.status, judged.allowed_percent) == ("info", "failed", 1.0)


def test_of_two_rules_for_a_check_the_later_wins_key_by_key() -> None:
    rules = [Rule("field_*", "critical", 5.0), Rule("field_fkdomain_person", allowed_percent=1.0)]
    [judged] = apply_thresholds([result("field_fkdomain_person", 3)], rules)
    assert (judged.severity, judged.status) == ("critical", "failed")


def test_rules_that_fit_no_check_are_an_error_that_names_them() -> None:
    with pytest.raises(ContractError, match=r"checks that there are not: field_fkdomian_\*, zzz\."):
        apply_thresholds([result("a", 0)], [Rule("field_fkdomian_*", "info"), Rule("a", "info"), Rule("zzz", "info")])
