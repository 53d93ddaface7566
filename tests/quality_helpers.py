"""A hospital small enough to read: two persons, three visits, everything that every check can be broken on.

Tables are lists of rows; what a row does not name is NULL. `write` gives Parquet with the specification's columns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from etl.cdm import quoted, tables
from etl.config import settings
from etl.engine import connection, duckdb_type, quote_path
from etl.quality import CheckResult, SourceAccount, compute_candidate

Rows = list[dict[str, Any]]
Cdm = dict[str, Rows]

ABSENT, MALE, FEMALE, RACE, ETHNICITY, EHR, INPATIENT, COUGH, ASPIRIN, KILOGRAM, OLD_COUGH, UNKNOWN = (
    0, 8507, 8532, 8527, 38003564, 32817, 9201, 254761, 1112807, 9529, 4000001, 777
)  # fmt: skip

CONCEPTS = [
    (ABSENT, "Metadata", "Undefined", None),
    (MALE, "Gender", "Gender", "S"),
    (FEMALE, "Gender", "Gender", "S"),
    (RACE, "Race", "Race", "S"),
    (ETHNICITY, "Ethnicity", "Ethnicity", "S"),
    (EHR, "Type Concept", "Type Concept", "S"),
    (INPATIENT, "Visit", "Visit", "S"),
    (COUGH, "Condition", "Clinical Finding", "S"),
    (ASPIRIN, "Drug", "Ingredient", "S"),
    (KILOGRAM, "Unit", "Unit", "S"),
    (OLD_COUGH, "Condition", "Clinical Finding", None),
]

CUTOFF = "2021-01-01"
VISIT, DETAIL, CONDITION, DRUG, MEASUREMENT = 7, 8, 10, 11, 24  # parts of source synthea


def id_of(row: int, part: int) -> int:
    """The id that a source row's part becomes."""
    return row * 100_000 + part * 100


def hospital() -> Cdm:
    """A clean candidate: a man of 1950 who died in 2020, a woman of 1980, and what happened to them."""

    def person(person_id: int, gender: int, year: int) -> dict[str, Any]:
        return {
            "person_id": person_id, "gender_concept_id": gender, "year_of_birth": year,
            "race_concept_id": RACE, "ethnicity_concept_id": ETHNICITY,
        }  # fmt: skip

    def visit(visit_id: int, person_id: int, start: str, end: str) -> dict[str, Any]:
        return {
            "visit_occurrence_id": visit_id, "person_id": person_id, "visit_concept_id": INPATIENT,
            "visit_start_date": start, "visit_end_date": end, "visit_type_concept_id": EHR,
        }  # fmt: skip

    def condition(row_id: int, person_id: int, start: str, visit_id: int | None) -> dict[str, Any]:
        return {
            "condition_occurrence_id": row_id, "person_id": person_id, "condition_concept_id": COUGH,
            "condition_start_date": start, "condition_end_date": start, "condition_type_concept_id": EHR,
            "visit_occurrence_id": visit_id, "condition_source_value": "R05",
        }  # fmt: skip

    return {
        "cdm_source": [
            {
                "cdm_source_name": "synthea", "cdm_source_abbreviation": "synthea", "cdm_holder": "cdmflow",
                "source_release_date": CUTOFF, "cdm_release_date": CUTOFF, "cdm_version": "v5.4.0",
                "cdm_version_concept_id": ABSENT, "vocabulary_version": "v1",
            }
        ],
        "person": [person(1, MALE, 1950), person(2, FEMALE, 1980)],
        "death": [{"person_id": 1, "death_date": "2020-06-01"}],
        "observation_period": [
            {
                "observation_period_id": 10 * person_id + n, "person_id": person_id, "period_type_concept_id": EHR,
                "observation_period_start_date": start, "observation_period_end_date": end,
            }
            for person_id, n, start, end in (
                (1, 1, "2015-01-01", "2020-06-01"),
                (2, 1, "2010-01-01", "2012-12-31"),
                (2, 2, "2015-01-01", "2021-01-01"),
            )
        ],
        "visit_occurrence": [
            visit(id_of(1, VISIT), 1, "2020-05-01", "2020-05-10"),
            visit(id_of(2, VISIT), 2, "2019-01-01", "2019-01-02"),
            visit(id_of(3, VISIT), 2, "2020-02-01", "2020-02-01"),
        ],
        "visit_detail": [
            {
                "visit_detail_id": id_of(1, DETAIL), "person_id": 1, "visit_detail_concept_id": INPATIENT,
                "visit_detail_start_date": "2020-05-01", "visit_detail_end_date": "2020-05-03",
                "visit_detail_type_concept_id": EHR, "visit_occurrence_id": id_of(1, VISIT),
            }
        ],
        "condition_occurrence": [
            condition(id_of(1, CONDITION), 1, "2020-05-02", id_of(1, VISIT)),
            condition(id_of(2, CONDITION), 2, "2019-01-01", id_of(2, VISIT)),
            condition(id_of(3, CONDITION), 2, "2020-02-01", None),
        ],
        "drug_exposure": [
            {
                "drug_exposure_id": id_of(1, DRUG), "person_id": 2, "drug_concept_id": ASPIRIN, "days_supply": 32,
                "drug_exposure_start_date": "2019-01-01", "drug_exposure_end_date": "2019-02-01",
                "drug_type_concept_id": EHR,
            }
        ],
        "drug_era": [
            {
                "drug_era_id": 1, "person_id": 2, "drug_concept_id": ASPIRIN,
                "drug_era_start_date": "2019-01-01", "drug_era_end_date": "2019-02-01",
            }
        ],
        "measurement": [
            {
                "measurement_id": id_of(1, MEASUREMENT), "person_id": 2, "measurement_concept_id": ABSENT,
                "measurement_date": "2019-01-01", "measurement_type_concept_id": EHR,
                "unit_concept_id": KILOGRAM, "value_as_number": 70.5,
            }
        ],
    }  # fmt: skip


def write(cdm: Mapping[str, Sequence[Mapping[str, Any]]], run: Path) -> Path:
    """Write the tables below `run`/cdm and return `run`."""
    for name, rows in cdm.items():
        fields = tables()[name].fields
        names = [field.name for field in fields]
        values = ", ".join(f"({', '.join(_literal(row.get(column)) for column in names)})" for row in rows)
        casts = ", ".join(f"CAST({quoted(f.name)} AS {duckdb_type(f.sql_type)}) AS {quoted(f.name)}" for f in fields)
        columns = ", ".join(quoted(column) for column in names)
        empty = f"SELECT {casts} FROM (VALUES ({', '.join(['NULL'] * len(names))})) AS t({columns}) WHERE false"
        write_select(
            f"SELECT {casts} FROM (VALUES {values}) AS t({columns})" if rows else empty, run / "cdm" / f"{name}.parquet"
        )
    return run


def write_vocabulary(folder: Path) -> Path:
    """concept.parquet and domain.parquet of the concepts above."""
    rows = ", ".join(f"({', '.join(_literal(value) for value in concept)})" for concept in CONCEPTS)
    columns = "concept_id, domain_id, concept_class_id, standard_concept"
    write_select(f"SELECT * FROM (VALUES {rows}) AS t({columns})", folder / "concept.parquet")
    domains = ", ".join(f"('{domain}')" for domain in sorted({concept[1] for concept in CONCEPTS}))
    write_select(f"SELECT * FROM (VALUES {domains}) AS t(domain_id)", folder / "domain.parquet")
    return folder


def write_select(select: str, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with connection(1) as con:
        con.execute(f"COPY ({select}) TO {quote_path(path)} (FORMAT parquet)")
    return path


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    return quote_path(value) if isinstance(value, str) else str(value)


def account(table: str, **changes: Any) -> SourceAccount:
    """A ledger that adds up: 2 rows received, landed and used, 3 CDM rows; `changes` break it."""
    agreed = SourceAccount(
        table, received=2, rejected=0, landed=2, used=2, excluded=0, unaccounted=0, not_landed=0, cdm=3
    )
    return replace(agreed, **changes)


ALL_ACCOUNTED = (account("hospital.patients"),)


def counts(cdm: Cdm, folder: Path, ledger: Sequence[SourceAccount] = ALL_ACCOUNTED) -> dict[str, CheckResult]:
    """Write a candidate below `folder` and count all checks of the project's suites on it; results by check id.

    Needs a CDMFLOW_HOME (fixture `home`): DuckDB spills into it.
    """
    vocabulary = folder / "vocabulary"
    if not vocabulary.exists():
        write_vocabulary(vocabulary)
    results = compute_candidate(settings(), write(cdm, folder / "run"), vocabulary, ledger)
    return {result.check_id: result for result in results}
