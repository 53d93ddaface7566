"""The concepts that SQL may name."""

import csv
from pathlib import Path

from etl.vocabulary import named_concepts, variables


def test_a_name_means_one_concept_and_a_concept_has_one_name() -> None:
    assert variables()["no_matching_concept"] == 0
    assert variables()["ehr_order"] == 32833
    assert variables()["ehr_administration_record"] == 32818
    assert len(set(variables().values())) == len(variables())


def test_named_concepts_are_as_athena_publishes_them(shared_data: Path) -> None:
    published = {}
    for bundle in ("vocabulary_mini", "vocabulary_synthea"):
        with (shared_data / bundle / "CONCEPT.csv").open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
                published[int(row["concept_id"])] = row
    checked = 0
    for concept in named_concepts().values():
        row = published.get(concept.concept_id)
        if row:
            checked += 1
            assert row["concept_name"] == concept.concept_name
            assert row["concept_code"] == concept.concept_code
            assert (row["domain_id"], row["vocabulary_id"]) == (concept.domain_id, concept.vocabulary_id)
            assert (row["concept_class_id"], row["standard_concept"] or "") == (
                concept.concept_class_id,
                concept.standard_concept,
            )
    assert checked > 45
