"""Diagnoses and prescriptions that follow from encounters."""

from dataclasses import dataclass

import numpy as np

from etl.demo import catalogue
from etl.demo.columns import (
    DAY_SECONDS,
    NOTHING,
    Ints,
    Text,
    dates,
    decimals,
    moments,
    take,
    texts,
)
from etl.demo.encounters import Encounters
from etl.demo.people import People

TREATED_SHARE = 0.9
DRUGS_PER_FOLLOW_UP = 3
COVERAGE_PERCENT = 80


@dataclass(frozen=True)
class Medications:
    """One entry per prescription: its encounter, its row of medications.csv, start and stop in seconds."""

    encounter: Ints
    drug: Ints
    start: Ints
    stop: Ints
    dispenses: Ints

    @property
    def base_cents(self) -> Ints:
        return catalogue.cents("medications")[self.drug]

    @property
    def total_cents(self) -> Ints:
        return self.base_cents * self.dispenses


def first_encounters(people: People, encounters: Encounters) -> tuple[Ints, Ints]:
    """(disease, encounter): the first encounter at or after each onset, where the disease was put on record."""
    person, disease = np.nonzero(people.onset_day != NOTHING)
    onset = people.onset_day[person, disease] * DAY_SECONDS
    span = np.int64(1) << 40  # more seconds than any history has
    order = (encounters.person + 1) * span + encounters.start
    found = np.searchsorted(order, (person + 1) * span + onset)
    exists = found < len(encounters)
    exists[exists] = encounters.person[found[exists]] == person[exists]
    return disease[exists], found[exists]


def condition_columns(rng: np.random.Generator, people: People, encounters: Encounters) -> dict[str, Text]:
    """conditions.csv: acute illnesses with their end, chronic diseases without."""
    ill = np.flatnonzero(encounters.acute >= 0)
    acute = encounters.acute[ill]
    start = encounters.start[ill] // DAY_SECONDS
    days = np.maximum(catalogue.numbers("acute", "days")[acute] * (0.5 + rng.random(len(ill))), 1).astype(np.int64)
    last_day = people.last_day[encounters.person[ill]]
    is_alive = people.death_day[encounters.person[ill]] == NOTHING
    stop = np.where((start + days > last_day) & is_alive, NOTHING, np.minimum(start + days, last_day))
    chronic, first = first_encounters(people, encounters)
    encounter = np.concatenate([ill, first])
    illnesses = len(catalogue.rows("acute"))
    which = np.concatenate([acute, chronic + illnesses])
    systems = [*catalogue.column("acute", "system"), *["SNOMED-CT"] * len(catalogue.rows("chronic"))]
    return {
        "START": dates(np.concatenate([start, encounters.start[first] // DAY_SECONDS])),
        "STOP": dates(np.concatenate([stop, np.full(len(first), NOTHING)])),
        "PATIENT": take(people.key, encounters.person[encounter]),
        "ENCOUNTER": take(encounters.key, encounter),
        "SYSTEM": texts(systems, which),
        "CODE": texts([*catalogue.column("acute", "code"), *catalogue.column("chronic", "code")], which),
        "DESCRIPTION": texts(_descriptions(), which),
    }


def _descriptions() -> list[str]:
    return [*catalogue.column("acute", "description"), *catalogue.column("chronic", "description")]


def make_medications(rng: np.random.Generator, people: People, encounters: Encounters) -> Medications:
    """Up to three drugs at a follow-up of a disease that has drugs, one for most acute illnesses that have one."""
    drug_of_acute = np.array(
        [catalogue.position("medications", code) for code in catalogue.column("acute", "medication")]
    )
    ill = np.flatnonzero((encounters.acute >= 0) & (rng.random(len(encounters)) < TREATED_SHARE))
    ill = ill[drug_of_acute[encounters.acute[ill]] >= 0]
    lists = [row["medications"].split("|") if row["medications"] else [""] * 4 for row in catalogue.rows("chronic")]
    drug_of_chronic = np.array([[catalogue.position("medications", code) for code in codes] for codes in lists])
    seen = np.repeat(np.flatnonzero(encounters.chronic >= 0), DRUGS_PER_FOLLOW_UP)
    chosen = drug_of_chronic[encounters.chronic[seen], rng.integers(0, 4, size=len(seen))]
    encounter = np.concatenate([ill, seen[chosen >= 0]])
    drug = np.concatenate([drug_of_acute[encounters.acute[ill]], chosen[chosen >= 0]])
    # the same drug twice at one visit is one prescription
    _, first = np.unique(encounter * 1000 + drug, return_index=True)
    encounter, drug = encounter[first], drug[first]
    is_chronic = encounters.chronic[encounter] >= 0
    days = catalogue.numbers("medications", "days")[drug].astype(np.int64)
    days = np.where(is_chronic, days * rng.integers(1, 5, size=len(days)), days)
    start = encounters.start[encounter] + 600
    person = encounters.person[encounter]
    limit = (people.last_day[person] + 1) * DAY_SECONDS - 1
    stop = np.minimum(start + days * DAY_SECONDS, limit)
    runs_on = (start + days * DAY_SECONDS > limit) & (people.death_day[person] == NOTHING)
    dispenses = np.maximum(days // 30, 1)
    return Medications(encounter, drug, np.minimum(start, limit), np.where(runs_on, NOTHING, stop), dispenses)


def medication_columns(people: People, encounters: Encounters, payer_keys: Text, drugs: Medications) -> dict[str, Text]:
    """medications.csv."""
    person = encounters.person[drugs.encounter]
    reason = reasons(encounters)[drugs.encounter]
    return {
        "START": moments(drugs.start),
        "STOP": moments(drugs.stop),
        "PATIENT": take(people.key, person),
        "PAYER": take(payer_keys, people.payer[person]),
        "ENCOUNTER": take(encounters.key, drugs.encounter),
        "CODE": texts(catalogue.column("medications", "code"), drugs.drug),
        "DESCRIPTION": texts(catalogue.column("medications", "description"), drugs.drug),
        "BASE_COST": decimals(drugs.base_cents, 2),
        "PAYER_COVERAGE": decimals(drugs.base_cents * COVERAGE_PERCENT // 100, 2),
        "DISPENSES": drugs.dispenses,
        "TOTALCOST": decimals(drugs.total_cents, 2),
        "REASONCODE": texts(reason_codes(), reason),
        "REASONDESCRIPTION": texts(_descriptions(), reason),
    }


def reasons(encounters: Encounters) -> Ints:
    """The reason of each encounter: a place in `reason_codes()`, -1 for none."""
    illnesses = len(catalogue.rows("acute"))
    chronic = np.maximum(encounters.chronic, encounters.cause)
    return np.where(encounters.acute >= 0, encounters.acute, np.where(chronic >= 0, chronic + illnesses, -1))


def reason_codes() -> list[str]:
    return [*catalogue.column("acute", "code"), *catalogue.column("chronic", "code")]


def encounter_columns(
    people: People, encounters: Encounters, payer_keys: Text, organization: Text, provider: Text
) -> dict[str, Text]:
    """encounters.csv. `organization` and `provider` are those of each encounter."""
    base = catalogue.cents("encounters")[encounters.kind]
    reason = reasons(encounters)
    return {
        "Id": encounters.key,
        "START": moments(encounters.start),
        "STOP": moments(encounters.stop),
        "PATIENT": take(people.key, encounters.person),
        "ORGANIZATION": organization,
        "PROVIDER": provider,
        "PAYER": take(payer_keys, people.payer[encounters.person]),
        "ENCOUNTERCLASS": texts(catalogue.column("encounters", "class"), encounters.kind),
        "CODE": texts(catalogue.column("encounters", "code"), encounters.kind),
        "DESCRIPTION": texts(catalogue.column("encounters", "description"), encounters.kind),
        "BASE_ENCOUNTER_COST": decimals(base, 2),
        "TOTAL_CLAIM_COST": decimals(base * 14 // 10, 2),
        "PAYER_COVERAGE": decimals(base * 14 // 10 * COVERAGE_PERCENT // 100, 2),
        "REASONCODE": texts(reason_codes(), reason),
        "REASONDESCRIPTION": texts(_descriptions(), reason),
    }


def provider_of(encounters: Encounters, providers: int) -> Ints:
    """The provider of each encounter: the patient's own, another one for some kinds of encounter."""
    return (encounters.person * 7 + encounters.kind // 3) % providers
