"""Type concepts say where a record comes from: those in use are current, and each has its line in the pages."""

import re
from pathlib import Path

from etl.vocabulary.named import named_concepts

PROJECT = Path(__file__).resolve().parents[2]
NAMED = re.compile(r"\{\{ concept\.([a-z_0-9]+) \}\}")
TYPE_VOCABULARY = "Type Concept"


def types_in_sql() -> dict[str, int]:
    """Names and ids of the type concepts that any SQL file writes."""
    used = {
        name
        for root in ("sources", "sql")
        for path in (PROJECT / root).rglob("*.sql")
        for name in NAMED.findall(path.read_text(encoding="utf-8"))
    }
    return {
        name: concept.concept_id
        for name, concept in named_concepts().items()
        if name in used and concept.vocabulary_id == TYPE_VOCABULARY
    }


def documented_types() -> set[int]:
    """The ids that begin a line of a table of docs/conventions.md."""
    page = PROJECT / "docs" / "conventions.md"
    pages = [page] if page.exists() else sorted((PROJECT / "docs" / "conventions.d").glob("*.md"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in pages)
    return {int(number) for number in re.findall(r"^\| (32\d{3}) \|", text, flags=re.MULTILINE)}


def test_every_type_in_use_is_documented() -> None:
    assert len(types_in_sql()) > 5
    missing = {name: number for name, number in types_in_sql().items() if number not in documented_types()}
    assert not missing, f"docs/conventions.md has no line for the types {missing}"


def test_no_type_in_use_is_of_the_withdrawn_numbers() -> None:
    assert not [name for name, number in types_in_sql().items() if number // 1000 in (38000, 44818)]
    assert all(32809 <= number <= 32999 for number in types_in_sql().values())
