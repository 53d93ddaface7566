"""docs/conventions.md tells every rule with its source, where it lives and its tests, and leaves no SQL test out."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PAGE = PROJECT / "docs" / "conventions.md"
HEADER = ["rule", "source", "where it lives", "tests"]
QUOTED = re.compile(r"`([^`]+)`")
SQL_STAGES = ("3_map", "4_cdm", "5_derive")


@dataclass(frozen=True)
class Rule:
    """A line of one of the page's tables of rules; `places` and `tests` are what it quotes in these cells."""

    text: str
    source: str
    places: tuple[str, ...]
    tests: tuple[str, ...]


@cache
def rules() -> tuple[Rule, ...]:
    found: list[Rule] = []
    is_rules = False
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if cells == HEADER:
            is_rules = True
        elif not cells:
            is_rules = False
        elif is_rules and not set(line) <= set("|-: "):
            assert len(cells) == len(HEADER), f"{len(cells)} cells instead of {len(HEADER)}: {line[:80]}"
            text, source, places, tests = cells
            found.append(Rule(text, source, tuple(QUOTED.findall(places)), tuple(QUOTED.findall(tests))))
    return tuple(found)


def is_test(name: str) -> bool:
    """`3_map/visit/sentence` is a SQL test, `tests/….py` or `tests/….py::test_name` a test in Python."""
    path, _, function = name.partition("::")
    if path.startswith("tests/"):
        file = PROJECT / path
        return file.is_file() and (not function or f"def {function}(" in file.read_text(encoding="utf-8"))
    return (PROJECT / "tests" / "sql" / f"{path}.yaml").is_file()


def test_every_rule_says_where_it_comes_from_where_it_lives_and_what_tests_it() -> None:
    assert len(rules()) > 50
    faults = [
        rule.text
        for rule in rules()
        if not (rule.source and rule.places and rule.tests)
        or not all((PROJECT / place).exists() for place in rule.places)
        or not all(is_test(name) for name in rule.tests)
    ]
    assert not faults, "Without source, with a place or a test that does not exist:\n" + "\n".join(faults)


def test_no_rule_is_told_twice() -> None:
    texts = [rule.text.lower() for rule in rules()]
    assert sorted(texts) == sorted(set(texts))


def test_every_sql_test_of_the_shared_stages_belongs_to_a_rule() -> None:
    told = {name for rule in rules() for name in rule.tests}
    tests = PROJECT / "tests" / "sql"
    cases = {
        str(path.relative_to(tests).with_suffix("")) for stage in SQL_STAGES for path in (tests / stage).rglob("*.yaml")
    }
    missing = sorted(cases - told)
    assert not missing, "docs/conventions.md names no rule for:\n" + "\n".join(missing)
