"""The comparison itself: it pairs by meaning, believes only rules that hold, and leaves nothing unsaid."""

from pathlib import Path

import duckdb
import pytest
from comparison import Comparison, Result, Rule, compare, load_comparison


def found(reference: str, ours: str, *rules: Rule) -> Result:
    columns = "AS t (person, code, value)"
    comparison = Comparison(
        "t", "rows", f"FROM (VALUES {reference}) {columns}", f"FROM (VALUES {ours}) {columns}", (("person",),), rules
    )
    with duckdb.connect() as con:
        return compare(con, comparison)


def test_equal_rows_need_no_rule() -> None:
    result = found("('p1', 'a', 1), ('p1', 'a', 1)", "('p1', 'a', 1), ('p1', 'a', 1)")
    assert (result.equal, result.unexplained) == (2, 0)


def test_a_difference_without_a_rule_is_unexplained_and_its_key_is_told() -> None:
    result = found("('p1', 'a', 1)", "('p1', 'a', 2)")
    assert (result.different, result.unexplained) == (1, 1)
    assert "p1" in result.samples[0]


def test_a_rule_explains_its_own_columns_only() -> None:
    rule = Rule("larger", "both", "ours.{column} > reference.{column}", "a reason", ("value",))
    assert found("('p1', 'a', 1)", "('p1', 'a', 2)", rule).unexplained == 0
    assert found("('p1', 'a', 1)", "('p1', 'b', 2)", rule).unexplained == 1


def test_a_rule_whose_condition_does_not_hold_explains_nothing() -> None:
    rule = Rule("larger", "both", "ours.{column} > reference.{column}", "a reason", ("value",))
    assert found("('p1', 'a', 2)", "('p1', 'a', 1)", rule).unexplained == 1


def test_saying_more_holds_only_where_the_reference_is_empty() -> None:
    rule = Rule("known", "both", "ours.value > 0", "a reason", ("value",), more=True)
    assert found("('p1', 'a', 0)", "('p1', 'a', 2)", rule).more == 1
    assert found("('p1', 'a', 1)", "('p1', 'a', 2)", rule).unexplained == 1


def test_rows_of_one_side_are_counted_and_must_be_explained() -> None:
    rule = Rule("of p2", "ours", "ours.person = 'p2'", "a reason")
    result = found("('p1', 'a', 1)", "('p1', 'a', 1), ('p2', 'a', 1), ('p3', 'a', 1)", rule)
    assert (result.only_ours, result.by_rule["ours", "of p2"], result.unexplained) == (2, 1, 1)


@pytest.mark.parametrize(
    "rule",
    [
        "{name: any, side: both, columns: [a], when: 'true', why: because}",
        "{name: any, side: both, columns: [a], when: a > 1, why: ''}",
        "{name: any, side: both, when: a > 1, why: because}",
        "{name: any, side: ours, form: true, when: a > 1, why: because}",
        "{name: any, side: theirs, when: a > 1, why: because}",
    ],
)
def test_a_rule_that_could_explain_anything_is_refused(rule: str, tmp_path: Path) -> None:
    path = tmp_path / "t.yml"
    path.write_text(f"what: t\nreference: x\nours: y\nline_up: [[a]]\nrules:\n  - {rule}\n")
    with pytest.raises(ValueError, match="rule"):
        load_comparison(path)
