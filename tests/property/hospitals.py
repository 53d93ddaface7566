"""Random small hospitals in Synthea's landed tables: a few persons, dates that meet, and everything that can be wrong.

A hospital is `{landing.…: rows}`; rows carry the `source_row_id` of their order. Days are drawn from a few that lie as
far apart as the conventions ask (30, 60, 548), so that random records touch, overlap and just miss each other.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

Row = dict[str, Any]
Hospital = dict[str, list[Row]]

FIRST_DAY = date(2020, 1, 1)
CUTOFF = date(2024, 12, 31)
DAYS = (0, 1, 2, 3, 10, 29, 30, 31, 32, 59, 60, 61, 62, 90, 547, 548, 549, 550, 607, 608, 609, 610, 1200, 1826, 1900)
HOURS = (0, 9, 23)
CLASSES = (
    "inpatient", "emergency", "ambulatory", "outpatient", "wellness", "urgentcare", "home", "virtual", "snf", "hospice",
    "odd", None,
)  # fmt: skip
CONDITIONS = ("C1", "C2", "OLD", "DEAD", "THREE", "TWO", "SAME", "DIAGNOSED-DRUG", "ANSWER", "LOCAL", "", None)
DRUGS = ("D1", "D2", "D3", "D4", "D5", "D6", "SAME", "LOCAL", "", None)
VALUES = ("5", "<5", ">= 7.5", "-1.25", "many", " ", "null", "", None)
UNITS = ("mg", "MG", "unknown unit", "null", "", None)
PAYERS = ("i1", "i2", "NO_INSURANCE", None)

# the columns that name something, and what they name
KEYS = {
    "landing.patients": {"id": "patient"},
    "landing.encounters": {
        "id": "encounter", "patient": "patient", "organization": "organization", "provider": "provider",
    },
    "landing.organizations": {"id": "organization"},
    "landing.providers": {"id": "provider", "organization": "organization"},
    "landing.payers": {"id": "payer"},
    "landing.payer_transitions": {"patient": "patient", "payer": "payer"},
    **{
        f"landing.{table}": {"patient": "patient", "encounter": "encounter"}
        for table in (
            "conditions", "medications", "procedures", "immunizations", "allergies", "devices", "supplies",
            "observations",
        )
    },
}  # fmt: skip

days = st.sampled_from(DAYS)
money = st.sampled_from((None, "0", "12.5", "100"))


def day(number: int) -> date:
    return FIRST_DAY + timedelta(days=number)


def moment(number: int, hour: int) -> datetime:
    return datetime.combine(day(number), datetime.min.time()) + timedelta(hours=hour)


moments = st.builds(moment, days, st.sampled_from(HOURS))
# hours that a record lasts; None: no end; below 0: an end before the start
lasting = st.sampled_from((0, 1, 24, 30, 48, 24 * 10, 24 * 31, None, -24))


def often(usual: st.SearchStrategy[Any], seldom: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The first in nine of ten cases."""
    return st.integers(0, 9).flatmap(lambda drawn: seldom if drawn == 9 else usual)


def ending(row: Row, start: str, stop: str, hours: int | None) -> Row:
    begun = row[start]
    return row | {stop: None if begun is None or hours is None else begun + timedelta(hours=hours)}


@st.composite
def hospitals(draw: Callable[..., Any], persons: int = 4, records: int = 8) -> Hospital:
    """Up to `persons` patients and up to `records` rows of each kind of record, of anybody and of nobody."""
    patients = [f"p{number}" for number in range(draw(st.integers(1, persons)))]
    somebody = often(st.sampled_from(patients), st.sampled_from(("ghost", patients[0])))
    organization = st.sampled_from(("o1", "o2", "o-unknown", None))
    provider = st.sampled_from(("d1", "d2", "d-unknown", None))
    maybe_moment = often(moments, st.none())
    maybe_date = often(days.map(day), st.none())

    def some(**columns: st.SearchStrategy[Any]) -> list[Row]:
        return list(draw(st.lists(st.fixed_dictionaries(columns), max_size=records)))

    hospital: Hospital = {
        "landing.patients": [
            {"id": patient}
            | draw(
                st.fixed_dictionaries(
                    {
                        "birthdate": often(st.just(date(1970, 5, 17)), st.none()),
                        "deathdate": often(st.none(), days.map(day)),
                        "gender": st.sampled_from(("F", "M", "X", None)),
                        "race": st.sampled_from(("white", "other", None)),
                        "city": st.sampled_from(("Here", "There", None)),
                    }
                )
            )
            for patient in patients
        ],
        "landing.organizations": [{"id": "o1", "name": "One", "city": "Here"}, {"id": "o2", "name": "Two"}],
        "landing.providers": [{"id": "d1", "organization": "o1", "gender": "F"}, {"id": "d2", "gender": "M"}],
        "landing.payers": [{"id": "i1", "name": "Insurer"}, {"id": "i2", "name": "Other"}],
    }
    encounters = some(
        patient=somebody, start=maybe_moment, hours=lasting, encounterclass=st.sampled_from(CLASSES),
        organization=organization, provider=provider, total_claim_cost=money,
    )  # fmt: skip
    hospital["landing.encounters"] = [
        {"id": f"e{number}"} | ending(row, "start", "stop", row.pop("hours")) for number, row in enumerate(encounters)
    ]
    visit = st.sampled_from([row["id"] for row in hospital["landing.encounters"]] + ["e-unknown", None])
    common = {"patient": somebody, "encounter": visit}
    hospital["landing.conditions"] = [
        ending(row, "start", "stop", row.pop("hours"))
        for row in some(
            **common, start=maybe_date, hours=lasting, code=st.sampled_from(CONDITIONS),
            system=st.sampled_from((None, "SNOMED-CT", "ICD10-CM")),
        )
    ]  # fmt: skip
    hospital["landing.medications"] = [
        ending(row, "start", "stop", row.pop("hours"))
        for row in some(
            **common, start=maybe_moment, hours=lasting, code=st.sampled_from(DRUGS), dispenses=st.integers(0, 3),
            totalcost=money,
        )
    ]  # fmt: skip
    hospital["landing.observations"] = some(
        **common, date=maybe_moment, code=st.sampled_from(("L1", "L3", "SAME", "LOCAL")),
        category=st.sampled_from(("laboratory", "survey", None)), value=st.sampled_from(VALUES),
        units=st.sampled_from(UNITS), type=st.sampled_from(("numeric", "text")),
    )  # fmt: skip
    hospital["landing.immunizations"] = some(**common, date=maybe_moment, code=st.sampled_from(("V1", "LOCAL")))
    hospital["landing.procedures"] = [
        ending(row, "start", "stop", row.pop("hours"))
        for row in some(**common, start=maybe_moment, hours=lasting, code=st.sampled_from(("P1", "C1", "SP1", "LOCAL")))
    ]
    hospital["landing.devices"] = [
        ending(row, "start", "stop", row.pop("hours"))
        for row in some(**common, start=maybe_moment, hours=lasting, code=st.sampled_from(("DV1", "LOCAL")))
    ]
    hospital["landing.payer_transitions"] = [
        ending(row, "start_date", "end_date", row.pop("hours"))
        for row in some(
            patient=somebody, start_date=maybe_moment, hours=lasting, payer=st.sampled_from(PAYERS),
            plan_ownership=st.sampled_from(("Self", None)),
        )
    ]  # fmt: skip
    return numbered(hospital)


def numbered(hospital: Mapping[str, Sequence[Row]]) -> Hospital:
    """The rows with source_row_id 1, 2, … in their order, as landing gives them."""
    return {
        table: [row | {"source_row_id": number} for number, row in enumerate(rows, start=1)]
        for table, rows in hospital.items()
    }


def renamed(hospital: Hospital, name: Callable[[str, str], str]) -> Hospital:
    """The hospital with other keys: `name(kind, key)` gives the new one."""
    return {
        table: [
            {
                column: name(KEYS[table][column], value)
                if value is not None and column in KEYS.get(table, {})
                else value
                for column, value in row.items()
            }
            for row in rows
        ]
        for table, rows in hospital.items()
    }
