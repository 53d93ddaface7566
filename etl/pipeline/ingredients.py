"""What a derived CDM row was made of: the rows of other CDM tables that it covers."""

from typing import Any

from etl.cdm import tables
from etl.engine import relation
from etl.pipeline.lineage import EVENTS, Lake, Row, id_column

Ingredient = tuple[str, int, str]  # CDM table, id, date

# the daily dose as sql/5_derive/dose_era.sql counts it: two doses of one ingredient are two eras, also at one time
DAILY_DOSE = """strength.amount_value * CASE
    WHEN drug.quantity > 0 AND drug.days_supply > 0 THEN drug.quantity / nullif(drug.days_supply, 0) ELSE 1 END"""


def ingredients(lake: Lake, table: str, row: Row) -> tuple[list[Ingredient], dict[str, int]]:
    """The rows by date, and how many there are of each table."""
    start, end = row[f"{table}_start_date"], row[f"{table}_end_date"]
    within, values = "person_id = ? AND {} BETWEEN ? AND ?", [row["person_id"], start, end]
    if table == "dose_era":
        found = {"drug_exposure": _of_dose(lake, row)}
    elif table == "observation_period":
        found = {
            name: lake.rows(f"cdm.{name}", within.format(start_column(name)) + more, values, _id_and_day(name))
            for name, more in _records(lake).items()
        }
    else:
        name, concepts = "condition_occurrence", [row.get("condition_concept_id") or 0]
        if table == "drug_era":
            where = f"ancestor_concept_id = {row['drug_concept_id']}"
            name = "drug_exposure"
            concepts = [r["descendant_concept_id"] for r in lake.rows("vocabulary.concept_ancestor", where)]
        concept = f"{name.split('_')[0]}_concept_id"
        listed = ", ".join(str(one) for one in sorted(set(concepts))) or "NULL"
        where = f"{within.format(start_column(name))} AND {concept} IN ({listed})"
        found = {name: lake.rows(f"cdm.{name}", where, values, _id_and_day(name))}
    listing = [(name, r["id"], str(r["day"])) for name, rows in found.items() for r in rows]
    return sorted(listing, key=lambda one: (one[2], one[0], one[1])), {
        n: len(rows) for n, rows in found.items() if rows
    }


def start_column(table: str) -> str:
    """The date by which a CDM table's rows are ordered in time; empty for tables without a person's dates."""
    if table in ("payer_plan_period", "cost", "person", "provider", "care_site", "location"):
        return "payer_plan_period_start_date" if table == "payer_plan_period" else ""
    names = [field.name for field in tables()[table].fields if field.name.endswith("_date")]
    return next((name for name in names if "start" in name), names[0] if names else "")


def _id_and_day(table: str) -> str:
    return f"{id_column(table)} AS id, {start_column(table)} AS day"


def _records(lake: Lake) -> dict[str, str]:
    """The tables whose rows make an observation period, by the run's convention, and a condition on them."""
    [convention] = lake.rows("run.parameter", columns="observation_period AS name")
    if convention["name"] == "enrolment":
        insured = lake.rows("map.payer_plan", "is_insured", columns="payer_plan_period_id AS id")
        listed = ", ".join(str(one["id"]) for one in insured) or "NULL"
        return {"payer_plan_period": f" AND payer_plan_period_id IN ({listed})"}
    return dict.fromkeys(("visit_occurrence", *(() if convention["name"] == "encounters" else (*EVENTS, "note"))), "")


def _of_dose(lake: Lake, row: Row) -> list[dict[str, Any]]:
    drugs, strengths = lake.files("cdm.drug_exposure"), lake.files("vocabulary.drug_strength")
    found = lake.con.execute(
        f"SELECT drug.drug_exposure_id, drug.drug_exposure_start_date FROM {relation(drugs)} AS drug "
        f"JOIN {relation(strengths)} AS strength ON drug.drug_concept_id = strength.drug_concept_id "
        "WHERE drug.person_id = ? AND drug.drug_exposure_start_date BETWEEN ? AND ? "
        "AND strength.ingredient_concept_id = ? AND strength.amount_unit_concept_id = ? "
        f"AND strength.invalid_reason IS NULL AND CAST({DAILY_DOSE} AS DOUBLE) = ?",
        [
            row["person_id"], row["dose_era_start_date"], row["dose_era_end_date"],
            row["drug_concept_id"], row["unit_concept_id"], row["dose_value"],
        ],
    ).fetchall()  # fmt: skip
    return [{"id": number, "day": day} for number, day in found]
