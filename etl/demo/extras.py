"""The smaller files: allergies, care plans, devices, supplies, imaging studies."""

import numpy as np

from etl.demo import catalogue
from etl.demo.columns import (
    DAY_SECONDS,
    NOTHING,
    Ints,
    Text,
    constant,
    dates,
    digits,
    empty,
    join_texts,
    moments,
    take,
    texts,
    uuids,
)
from etl.demo.encounters import Encounters
from etl.demo.people import People
from etl.demo.records import Records
from etl.demo.treatment import first_encounters

ALLERGIC_SHARE = 0.12
REACTION_SHARE = 0.6
DEVICE_SHARE = 0.7
SUPPLY_SHARE = 0.25
IMAGED = {"399208008": 1, "74016001": 2, "19490002": 0}  # X-ray procedure → row of the imaged body sites


def _column(kind: str, key: str) -> list[str]:
    return [row[key] for row in catalogue.of_kind(kind)]


def _position(kind: str, code: str) -> int:
    return _column(kind, "code").index(code) if code else -1


def _first_visits(people: People, encounters: Encounters) -> Ints:
    """Per patient with any encounter, the first one."""
    _, first = np.unique(encounters.person, return_index=True)
    return first.astype(np.int64)


def allergy_columns(rng: np.random.Generator, people: People, encounters: Encounters) -> dict[str, Text]:
    """allergies.csv: one to three of each allergic patient, recorded at the first encounter."""
    visits = _first_visits(people, encounters)
    visits = visits[rng.random(len(visits)) < ALLERGIC_SHARE]
    where = np.repeat(visits, rng.integers(1, 4, size=len(visits)))
    count = len(where)
    which = rng.integers(0, len(catalogue.of_kind("allergy")), size=count)
    # one allergy is recorded once
    _, first = np.unique(where * 100 + which, return_index=True)
    where, which, count = where[first], which[first], len(first)
    types, categories = zip(*(detail.split(":") for detail in _column("allergy", "detail")), strict=True)
    has_reaction = rng.random(count) < REACTION_SHARE
    reaction = np.where(has_reaction, rng.integers(0, len(catalogue.of_kind("reaction")), size=count), -1)
    severity = np.where(has_reaction, rng.integers(0, 3, size=count), -1)
    codes = _column("allergy", "code")
    systems = ["RxNorm" if category == "medication" else "SNOMED-CT" for category in categories]
    return {
        "START": dates(encounters.start[where] // DAY_SECONDS),
        "STOP": empty(count),
        "PATIENT": take(people.key, encounters.person[where]),
        "ENCOUNTER": take(encounters.key, where),
        "CODE": texts(codes, which),
        "SYSTEM": texts(systems, which),
        "DESCRIPTION": texts(_column("allergy", "description"), which),
        "TYPE": texts(types, which),
        "CATEGORY": texts(categories, which),
        "REACTION1": texts(_column("reaction", "code"), reaction),
        "DESCRIPTION1": texts(_column("reaction", "description"), reaction),
        "SEVERITY1": texts(["MILD", "MODERATE", "SEVERE"], severity),
        "REACTION2": empty(count),
        "DESCRIPTION2": empty(count),
        "SEVERITY2": empty(count),
    }


def careplan_columns(rng: np.random.Generator, people: People, encounters: Encounters) -> dict[str, Text]:
    """careplans.csv: one when a chronic disease is found, if it has one."""
    plan_of_disease = np.array([_position("careplan", code) for code in catalogue.column("chronic", "careplan")])
    disease, where = first_encounters(people, encounters)
    has_plan = plan_of_disease[disease] >= 0
    disease, where = disease[has_plan], where[has_plan]
    days = rng.integers(90, 2000, size=len(where))
    start = encounters.start[where] // DAY_SECONDS
    last_day = people.last_day[encounters.person[where]]
    is_dead = people.death_day[encounters.person[where]] != NOTHING
    stop = np.where((start + days > last_day) & ~is_dead, NOTHING, np.minimum(start + days, last_day))
    return {
        "Id": uuids(rng, len(where)),
        "START": dates(start),
        "STOP": dates(stop),
        "PATIENT": take(people.key, encounters.person[where]),
        "ENCOUNTER": take(encounters.key, where),
        "CODE": texts(_column("careplan", "code"), plan_of_disease[disease]),
        "DESCRIPTION": texts(_column("careplan", "description"), plan_of_disease[disease]),
        "REASONCODE": texts(catalogue.column("chronic", "code"), disease),
        "REASONDESCRIPTION": texts(catalogue.column("chronic", "description"), disease),
    }


def device_columns(rng: np.random.Generator, people: People, encounters: Encounters) -> dict[str, Text]:
    """devices.csv: what a chronic disease needs, and crutches for a third of the sprained ankles."""
    device_of_disease = np.array([_position("device", code) for code in catalogue.column("chronic", "device")])
    disease, found = first_encounters(people, encounters)
    needed = (device_of_disease[disease] >= 0) & (rng.random(len(disease)) < DEVICE_SHARE)
    sprain = catalogue.position("acute", "44465007")
    sprained = np.flatnonzero((encounters.acute == sprain) & (rng.random(len(encounters)) < 1 / 3))
    where = np.concatenate([found[needed], sprained])
    crutches = np.full(len(sprained), _position("device", "363753007"))
    which = np.concatenate([device_of_disease[disease[needed]], crutches])
    stop = np.concatenate([np.full(int(needed.sum()), NOTHING), encounters.end[sprained]])
    udi = [constant(prefix, len(where)) for prefix in ("(01)", "(11)", "(17)", "(10)", "(21)")]
    parts = [digits(rng.integers(0, 10**12, size=len(where)), 14 if place == 0 else 6) for place in range(5)]
    return {
        "START": moments(encounters.start[where]),
        "STOP": moments(stop),
        "PATIENT": take(people.key, encounters.person[where]),
        "ENCOUNTER": take(encounters.key, where),
        "CODE": texts(_column("device", "code"), which),
        "DESCRIPTION": texts(_column("device", "description"), which),
        "UDI": join_texts([text for pair in zip(udi, parts, strict=True) for text in pair]),
    }


def supply_columns(rng: np.random.Generator, people: People, encounters: Encounters) -> dict[str, Text]:
    """supplies.csv: handed out at follow-ups."""
    where = np.flatnonzero((encounters.chronic >= 0) & (rng.random(len(encounters)) < SUPPLY_SHARE))
    which = rng.integers(0, len(catalogue.of_kind("supply")), size=len(where))
    return {
        "DATE": dates(encounters.start[where] // DAY_SECONDS),
        "PATIENT": take(people.key, encounters.person[where]),
        "ENCOUNTER": take(encounters.key, where),
        "CODE": texts(_column("supply", "code"), which),
        "DESCRIPTION": texts(_column("supply", "description"), which),
        "QUANTITY": texts(_column("supply", "detail"), which),
    }


def imaging_columns(
    rng: np.random.Generator, people: People, encounters: Encounters, procedures: Records
) -> dict[str, Text]:
    """imaging_studies.csv: a row for each of the one to three images of an X-ray procedure."""
    site_of_procedure = np.array([IMAGED.get(code, -1) for code in catalogue.column("procedures", "code")])
    done = np.flatnonzero(site_of_procedure[procedures.item] >= 0)
    study = np.repeat(np.arange(len(done)), rng.integers(1, 4, size=len(done)))
    keys, numbers = uuids(rng, len(done)), rng.integers(10**9, 10**10, size=len(done))
    image = done[study]
    where, which = procedures.encounter[image], site_of_procedure[procedures.item[image]]
    modality = list(zip(*(row["detail"].split(":") for row in catalogue.of_kind("imaging")), strict=True))
    series = digits(numbers, 10)
    instance = digits(np.arange(len(study)), 8)
    uid = constant("1.2.840.99999999.1.", len(study))
    return {
        "Id": take(keys, study),
        "DATE": moments(procedures.at[image]),
        "PATIENT": take(people.key, encounters.person[where]),
        "ENCOUNTER": take(encounters.key, where),
        "SERIES_UID": join_texts([uid, take(series, study)]),
        "BODYSITE_CODE": texts(_column("imaging", "code"), which),
        "BODYSITE_DESCRIPTION": texts(_column("imaging", "description"), which),
        "MODALITY_CODE": texts(modality[0], which),
        "MODALITY_DESCRIPTION": texts(modality[1], which),
        "INSTANCE_UID": join_texts([uid, take(series, study), constant(".1", len(study)), instance]),
        "SOP_CODE": texts(modality[2], which),
        "SOP_DESCRIPTION": texts(modality[3], which),
        "PROCEDURE_CODE": texts(catalogue.column("procedures", "code"), procedures.item[image]),
    }
