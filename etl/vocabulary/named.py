"""The concepts that SQL may name: `{{ concept.ehr_encounter_record }}` instead of a bare number."""

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

NAMED_CONCEPTS_FILE = Path(__file__).with_name("named_concepts.csv")


@dataclass(frozen=True)
class NamedConcept:
    """One concept as Athena publishes it, and the name it has in SQL; `standard_concept` is 'S' or ''."""

    name: str
    concept_id: int
    concept_name: str
    domain_id: str
    vocabulary_id: str
    concept_class_id: str
    standard_concept: str
    concept_code: str


@lru_cache(maxsize=1)
def named_concepts() -> dict[str, NamedConcept]:
    """All named concepts by name, in the order of named_concepts.csv."""
    with NAMED_CONCEPTS_FILE.open(encoding="utf-8", newline="") as lines:
        rows = [NamedConcept(row.pop("name"), int(row.pop("concept_id")), **row) for row in csv.DictReader(lines)]
    return {row.name: row for row in rows}


def variables() -> dict[str, int]:
    """name → concept_id, as `{{ concept.… }}` needs it."""
    return {name: concept.concept_id for name, concept in named_concepts().items()}
