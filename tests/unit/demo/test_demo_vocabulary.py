"""The demo vocabulary is consistent in itself and loads without anything kept out."""

import csv
from collections import Counter, defaultdict
from pathlib import Path

import pytest
import sqlalchemy

from etl import state
from etl.config import settings
from etl.demo import demo_vocabulary_folder
from etl.postgres import Database
from etl.vocabulary import load_bundle, named_concepts

FOLDER = demo_vocabulary_folder()
Rows = list[dict[str, str]]
# domains whose concepts stand in a hierarchy
HIERARCHICAL = ("Condition", "Drug", "Procedure", "Device", "Measurement", "Observation")


def read(name: str) -> Rows:
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


@pytest.fixture(scope="module")
def concepts() -> dict[str, dict[str, str]]:
    return {row["concept_id"]: row for row in read("CONCEPT")}


@pytest.fixture(scope="module")
def targets() -> dict[str, list[str]]:
    found = defaultdict(list)
    for row in read("CONCEPT_RELATIONSHIP"):
        if row["relationship_id"] == "Maps to":
            found[row["concept_id_1"]].append(row["concept_id_2"])
    return found


def test_it_is_small_and_holds_every_named_concept(concepts: dict[str, dict[str, str]]) -> None:
    assert sum(path.stat().st_size for path in FOLDER.glob("*.csv")) < 400_000
    assert 300 < len(concepts) < 1000
    assert {str(concept.concept_id) for concept in named_concepts().values()} <= set(concepts)


def test_both_ends_of_every_relationship_exist(concepts: dict[str, dict[str, str]]) -> None:
    for row in read("CONCEPT_RELATIONSHIP"):
        assert row["concept_id_1"] in concepts
        assert row["concept_id_2"] in concepts
    for row in read("CONCEPT_ANCESTOR"):
        assert row["ancestor_concept_id"] in concepts
        assert row["descendant_concept_id"] in concepts


def test_every_standard_concept_maps_to_itself_and_every_target_is_standard(
    concepts: dict[str, dict[str, str]], targets: dict[str, list[str]]
) -> None:
    for concept_id, concept in concepts.items():
        if concept["standard_concept"] == "S":
            assert targets[concept_id] == [concept_id], concept["concept_name"]
    assert {concepts[one]["standard_concept"] for many in targets.values() for one in many} == {"S"}


def test_every_relationship_has_its_reverse() -> None:
    reverse = {row["relationship_id"]: row["reverse_relationship_id"] for row in read("RELATIONSHIP")}
    rows = {(r["concept_id_1"], r["concept_id_2"], r["relationship_id"]) for r in read("CONCEPT_RELATIONSHIP")}
    for one, two, relationship in rows:
        assert (two, one, reverse[relationship]) in rows


def test_hierarchies_hold_each_concept_as_its_own_ancestor(concepts: dict[str, dict[str, str]]) -> None:
    rows = read("CONCEPT_ANCESTOR")
    own = {r["ancestor_concept_id"] for r in rows if r["ancestor_concept_id"] == r["descendant_concept_id"]}
    for concept_id, concept in concepts.items():
        if concept["standard_concept"] in ("S", "C") and concept["domain_id"] in HIERARCHICAL:
            assert concept_id in own, concept["concept_name"]
    for row in rows:
        is_own = row["ancestor_concept_id"] == row["descendant_concept_id"]
        assert (row["min_levels_of_separation"] == "0") == is_own


def test_clinical_drugs_have_ingredients_and_strengths(concepts: dict[str, dict[str, str]]) -> None:
    is_ingredient = {key for key, row in concepts.items() if row["concept_class_id"] == "Ingredient"}
    strengths = {(row["drug_concept_id"], row["ingredient_concept_id"]) for row in read("DRUG_STRENGTH")}
    pairs = {
        (row["descendant_concept_id"], row["ancestor_concept_id"])
        for row in read("CONCEPT_ANCESTOR")
        if row["ancestor_concept_id"] in is_ingredient and row["descendant_concept_id"] not in is_ingredient
    }
    drugs = {key for key, row in concepts.items() if row["vocabulary_id"] == "RxNorm"} - is_ingredient
    standard_drugs = {key for key in drugs if concepts[key]["standard_concept"] == "S"}
    assert standard_drugs == {drug for drug, _ in pairs}
    assert pairs == strengths
    for row in read("DRUG_STRENGTH"):
        assert bool(row["amount_value"]) != bool(row["numerator_value"])


def test_it_holds_the_cases_that_mapping_must_cope_with(
    concepts: dict[str, dict[str, str]], targets: dict[str, list[str]]
) -> None:
    by_code = {(row["vocabulary_id"], row["concept_code"]): key for key, row in concepts.items()}
    assert len(targets[by_code["SNOMED", "15777000"]]) == 2
    assert len(targets[by_code["RxNorm", "10831"]]) == 2
    assert concepts[targets[by_code["LOINC", "33914-3"]][0]]["concept_code"] == "77147-7"
    assert concepts[by_code["LOINC", "33914-3"]]["invalid_reason"] in ("U", "D")
    values = [row for row in read("CONCEPT_RELATIONSHIP") if row["relationship_id"] == "Maps to value"]
    assert [row["concept_id_1"] for row in values] == [by_code["SNOMED", "399211009"]]
    assert concepts[targets[by_code["ICD10CM", "K02.9"]][0]]["concept_code"] == "80967001"


def test_codes_are_unique_within_a_vocabulary(concepts: dict[str, dict[str, str]]) -> None:
    counted = Counter((row["vocabulary_id"], row["concept_code"]) for row in concepts.values())
    assert [pair for pair, count in counted.items() if count > 1] == []


def test_it_loads_without_any_row_kept_out(home: Path, fresh_database: Database) -> None:
    engine = state.connect(fresh_database.etl_url)
    state.create_tables(engine)
    version = load_bundle(settings(), engine, FOLDER)
    engine.dispose()
    assert isinstance(engine, sqlalchemy.Engine)
    assert version.version == "cdmflow demo, from v5.0 30-AUG-24"
    assert version.warnings == ()
    for name in ("CONCEPT", "CONCEPT_RELATIONSHIP", "CONCEPT_ANCESTOR", "DRUG_STRENGTH"):
        assert version.counts[name.lower()] == len(read(name))
