"""What was measured, done and injected at the encounters."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from etl.demo import catalogue
from etl.demo.columns import DAY_SECONDS, Floats, Ints, Text, constant, decimals, moments, take, texts
from etl.demo.encounters import DEATH_CERTIFICATION, Encounters
from etl.demo.people import YEAR_DAYS, People
from etl.demo.treatment import reason_codes, reasons

# share of the encounters of a class (or of a disease's follow-ups) at which a panel is recorded
PANEL_SHARES = {
    "vitals": {"wellness": 0.85},
    "survey": {"wellness": 0.15},
    "metabolic": {"wellness": 0.12, "inpatient": 0.6},
    "lipids": {"wellness": 0.1},
    "blood": {"wellness": 0.08, "inpatient": 0.6},
    "emergency": {"emergency": 0.9, "urgentcare": 0.5},
}
FOLLOW_UP_SHARE = 0.7
BLANK_UNIT_SHARE = 0.002  # a device without a unit setting exports the text null
WITHIN_FIRST_HALF = 0.4  # records are made in this first part of an encounter
PERSONAL_SHARE = 0.7  # how much of a value's spread is the person's own, not the day's


@dataclass(frozen=True)
class Records:
    """One entry per record: its encounter, its row in the catalogue, when (seconds)."""

    encounter: Ints
    item: Ints
    at: Ints


def _at(encounters: Encounters, encounter: Ints, share: Floats) -> Ints:
    """A moment inside the encounter, also when that was open at the cut-off."""
    length = encounters.end[encounter] - encounters.start[encounter]
    return encounters.start[encounter] + (length * share * WITHIN_FIRST_HALF).astype(np.int64)


def make_observations(rng: np.random.Generator, encounters: Encounters) -> Records:
    """Whole panels: vital signs at wellness visits, the panel of the disease at its follow-ups, …"""
    chosen: list[tuple[Ints, Ints]] = []
    for panel, shares in PANEL_SHARES.items():
        share_of_kind = np.array([shares.get(name, 0.0) for name in catalogue.column("encounters", "class")])
        is_death = encounters.kind == catalogue.position("encounters", DEATH_CERTIFICATION)
        seen = np.flatnonzero((rng.random(len(encounters)) < share_of_kind[encounters.kind]) & ~is_death)
        chosen.append((seen, catalogue.panels()[panel].items))
    for disease, panel in enumerate(catalogue.column("chronic", "panel")):
        seen = np.flatnonzero((encounters.chronic == disease) & (rng.random(len(encounters)) < FOLLOW_UP_SHARE))
        chosen.append((seen, catalogue.panels()[panel].items))
    died = np.flatnonzero(encounters.kind == catalogue.position("encounters", DEATH_CERTIFICATION))
    chosen.append((died, catalogue.panels()["death"].items))
    encounter = np.concatenate([np.repeat(seen, len(items)) for seen, items in chosen])
    item = np.concatenate([np.tile(items, len(seen)) for seen, items in chosen])
    share = rng.random(len(encounters))[encounter]  # one panel is taken at one moment
    return Records(encounter, item, _at(encounters, encounter, share))


def observation_columns(
    rng: np.random.Generator, people: People, encounters: Encounters, records: Records
) -> dict[str, Text]:
    """observations.csv: numbers with one decimal, or answers."""
    units = [row["units"] or None for row in catalogue.rows("observations")]
    unit = records.item.copy()
    unit[rng.random(len(unit)) < BLANK_UNIT_SHARE] = len(units)
    categories = [row["category"] or None for row in catalogue.rows("observations")]
    return {
        "DATE": moments(records.at),
        "PATIENT": take(people.key, encounters.person[records.encounter]),
        "ENCOUNTER": take(encounters.key, records.encounter),
        "CATEGORY": texts(categories, records.item),
        "CODE": texts(catalogue.column("observations", "code"), records.item),
        "DESCRIPTION": texts(catalogue.column("observations", "description"), records.item),
        "VALUE": _values(rng, people, encounters, records),
        "UNITS": texts([*units, "null"], unit),
        "TYPE": texts(catalogue.column("observations", "type"), records.item),
    }


def _values(rng: np.random.Generator, people: People, encounters: Encounters, records: Records) -> Text:
    person = encounters.person[records.encounter]
    own = rng.standard_normal((len(people), len(catalogue.rows("observations"))))[person, records.item]
    noise = own * PERSONAL_SHARE + rng.standard_normal(len(person)) * (1 - PERSONAL_SHARE)
    mean = catalogue.numbers("observations", "mean")[records.item]
    value = mean + noise * catalogue.numbers("observations", "sd")[records.item]
    age_years = (records.at // DAY_SECONDS - people.birth_day[person]) / YEAR_DAYS
    value = _grown(value, records, age_years)
    low = catalogue.numbers("observations", "low")[records.item]
    high = catalogue.numbers("observations", "high")[records.item]
    tenths = np.round(np.clip(value, low, high) * 10).astype(np.int64)
    numbers = decimals(tenths, 1).cast(pa.string())
    answers, first, count = _answers()
    is_text = count[records.item] > 0
    which = first[records.item] + rng.integers(0, 1 << 30, size=len(person)) % np.maximum(count[records.item], 1)
    return pc.if_else(pa.array(is_text), texts(answers, np.where(is_text, which, -1)), numbers)


def _grown(value: Floats, records: Records, age_years: Floats) -> Floats:
    """Height and weight of children, and the body mass index that follows from both."""
    share = np.clip(age_years / 18, 0, 1)
    items = {code: catalogue.position("observations", code) for code in ("8302-2", "29463-7", "39156-5")}
    is_height, is_weight, is_index = (records.item == items[code] for code in ("8302-2", "29463-7", "39156-5"))
    value = np.where(is_height, 50 + (value - 50) * share**0.55, value)
    value = np.where(is_weight, 3.5 + np.maximum(value - 3.5, 30) * share**1.2, value)
    # vital signs come as whole panels in catalogue order: height, weight, index
    index = np.flatnonzero(is_index)
    value[index] = value[index - 1] / (value[index - 2] / 100) ** 2
    return value


@cache
def _answers() -> tuple[list[str], Ints, Ints]:
    """All answers, and for each row of observations.csv where its own begin and how many they are."""
    answers: list[str] = []
    first, count = [], []
    for row in catalogue.rows("observations"):
        own = [answer["answer"] for answer in catalogue.rows("answers") if answer["code"] == row["code"]]
        first.append(len(answers))
        count.append(len(own))
        answers += own
    return answers, np.array(first), np.array(count)


def make_procedures(rng: np.random.Generator, encounters: Encounters) -> Records:
    """Routine of the class of encounter, and what an acute illness asks for."""
    classes = catalogue.column("encounters", "class")
    is_death = encounters.kind == catalogue.position("encounters", DEATH_CERTIFICATION)
    encounter, item = [], []
    for procedure, row in enumerate(catalogue.rows("procedures")):
        fits = np.array([name == row["setting"] for name in classes])[encounters.kind] & ~is_death
        done = np.flatnonzero(fits & (rng.random(len(encounters)) < float(row["share"])))
        encounter.append(done)
        item.append(np.full(len(done), procedure))
    asked = np.array([catalogue.position("procedures", code) for code in catalogue.column("acute", "procedure")])
    ill = np.flatnonzero(encounters.acute >= 0)
    ill = ill[asked[encounters.acute[ill]] >= 0]
    encounter.append(ill)
    item.append(asked[encounters.acute[ill]])
    all_encounters, all_items = np.concatenate(encounter), np.concatenate(item)
    return Records(all_encounters, all_items, _at(encounters, all_encounters, rng.random(len(all_encounters))))


def procedure_columns(people: People, encounters: Encounters, records: Records) -> dict[str, Text]:
    """procedures.csv."""
    minutes = catalogue.numbers("procedures", "minutes")[records.item].astype(np.int64)
    reason = reasons(encounters)[records.encounter]
    descriptions = [*catalogue.column("acute", "description"), *catalogue.column("chronic", "description")]
    return {
        "START": moments(records.at),
        "STOP": moments(np.minimum(records.at + minutes * 60, encounters.end[records.encounter])),
        "PATIENT": take(people.key, encounters.person[records.encounter]),
        "ENCOUNTER": take(encounters.key, records.encounter),
        "SYSTEM": constant("SNOMED-CT", len(records.item)),
        "CODE": texts(catalogue.column("procedures", "code"), records.item),
        "DESCRIPTION": texts(catalogue.column("procedures", "description"), records.item),
        "BASE_COST": decimals(catalogue.cents("procedures")[records.item], 2),
        "REASONCODE": texts(reason_codes(), reason),
        "REASONDESCRIPTION": texts(descriptions, reason),
    }


def immunization_columns(rng: np.random.Generator, people: People, encounters: Encounters) -> dict[str, Text]:
    """immunizations.csv: at wellness visits, by age."""
    is_death = encounters.kind == catalogue.position("encounters", DEATH_CERTIFICATION)
    visits = np.flatnonzero(encounters.of_class("wellness") & ~is_death)
    age = (encounters.start[visits] // DAY_SECONDS - people.birth_day[encounters.person[visits]]) / YEAR_DAYS
    encounter, item = [], []
    for vaccine, row in enumerate(catalogue.rows("immunizations")):
        fits = (age >= float(row["from_age"])) & (age < float(row["to_age"]))
        given = visits[fits & (rng.random(len(visits)) < float(row["share"]))]
        encounter.append(given)
        item.append(np.full(len(given), vaccine))
    where, which = np.concatenate(encounter), np.concatenate(item)
    return {
        "DATE": moments(encounters.start[where]),
        "PATIENT": take(people.key, encounters.person[where]),
        "ENCOUNTER": take(encounters.key, where),
        "CODE": texts(catalogue.column("immunizations", "code"), which),
        "DESCRIPTION": texts(catalogue.column("immunizations", "description"), which),
        "BASE_COST": decimals(catalogue.cents("immunizations")[which], 2),
    }
