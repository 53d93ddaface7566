"""Insurance and money: payer transitions, claims and their transactions."""

from dataclasses import dataclass

import numpy as np

from etl.demo import catalogue
from etl.demo.columns import (
    DAY_SECONDS,
    Ints,
    Text,
    constant,
    decimals,
    empty,
    moments,
    take,
    texts,
    uuids,
)
from etl.demo.columns import where as where_true
from etl.demo.encounters import Encounters
from etl.demo.people import CUTOFF_DAY, People
from etl.demo.treatment import Medications, reason_codes, reasons

TRANSACTION_TYPES = ("CHARGE", "TRANSFEROUT", "TRANSFERIN", "PAYMENT")
METHODS = ("CASH", "CC", "CHECK", "ECHECK")
OPEN_SHARE = 0.03  # claims that nobody has paid yet
DEPARTMENT = "1"


@dataclass(frozen=True)
class Claims:
    """One entry per claim: of an encounter, or of a prescription (`drug` is its row in medications.csv, else -1)."""

    key: Text
    encounter: Ints
    drug: Ints
    cents: Ints
    is_open: Ints

    def __len__(self) -> int:
        return len(self.encounter)


def payer_transition_columns(rng: np.random.Generator, people: People, payer_keys: Text) -> dict[str, Text]:
    """payer_transitions.csv: one row per insured year, without gaps."""
    years = (people.last_day - people.first_day) // 365 + 1
    person = np.repeat(np.arange(len(people)), years)
    number = np.arange(len(person)) - np.repeat(np.cumsum(years) - years, years)
    start = people.first_day[person] + 365 * number
    end = np.minimum(start + 365, np.maximum(people.last_day[person], start + 1))
    members = uuids(rng, len(people))
    is_child = (start - people.birth_day[person]) < 18 * 365
    return {
        "PATIENT": take(people.key, person),
        "MEMBERID": take(members, person),
        "START_DATE": moments(start * DAY_SECONDS),
        "END_DATE": moments(np.minimum(end, CUTOFF_DAY) * DAY_SECONDS),
        "PAYER": take(payer_keys, people.payer[person]),
        "SECONDARY_PAYER": empty(len(person)),
        "PLAN_OWNERSHIP": texts(["Self", "Guardian"], is_child.astype(np.int64)),
        "OWNER_NAME": constant("Owner Invented", len(person)),
    }


def make_claims(rng: np.random.Generator, encounters: Encounters, drugs: Medications) -> Claims:
    """A claim for each encounter and each prescription."""
    encounter = np.concatenate([np.arange(len(encounters)), drugs.encounter])
    drug = np.concatenate([np.full(len(encounters), -1), drugs.drug])
    visit_cents = catalogue.cents("encounters")[encounters.kind] * 14 // 10
    return Claims(
        key=uuids(rng, len(encounter)),
        encounter=encounter,
        drug=drug,
        cents=np.concatenate([visit_cents, drugs.total_cents]),
        is_open=(rng.random(len(encounter)) < OPEN_SHARE).astype(np.int64),
    )


def claim_columns(
    people: People, encounters: Encounters, claims: Claims, payer_keys: Text, provider: Text
) -> dict[str, Text]:
    """claims.csv. `provider` is the provider of each encounter."""
    count, where = len(claims), claims.encounter
    person = encounters.person[where]
    served, billed = moments(encounters.start[where]), moments(encounters.end[where])
    own_provider = take(provider, where)
    outstanding = decimals(claims.cents * claims.is_open, 2)
    status = texts(["CLOSED", "BILLED"], claims.is_open)
    return {
        "Id": claims.key,
        "PATIENTID": take(people.key, person),
        "PROVIDERID": own_provider,
        "PRIMARYPATIENTINSURANCEID": take(payer_keys, people.payer[person]),
        "SECONDARYPATIENTINSURANCEID": constant("0", count),
        "DEPARTMENTID": constant(DEPARTMENT, count),
        "PATIENTDEPARTMENTID": constant(DEPARTMENT, count),
        "DIAGNOSIS1": texts(reason_codes(), reasons(encounters)[where]),
        **{f"DIAGNOSIS{number}": empty(count) for number in range(2, 9)},
        "REFERRINGPROVIDERID": empty(count),
        "APPOINTMENTID": take(encounters.key, where),
        "CURRENTILLNESSDATE": served,
        "SERVICEDATE": served,
        "SUPERVISINGPROVIDERID": own_provider,
        "STATUS1": status,
        "STATUS2": empty(count),
        "STATUSP": status,
        "OUTSTANDING1": outstanding,
        "OUTSTANDING2": empty(count),
        "OUTSTANDINGP": outstanding,
        "LASTBILLEDDATE1": billed,
        "LASTBILLEDDATE2": empty(count),
        "LASTBILLEDDATEP": billed,
        "HEALTHCARECLAIMTYPEID1": texts(["1", "2"], (claims.drug >= 0).astype(np.int64)),
        "HEALTHCARECLAIMTYPEID2": constant("0", count),
    }


def transaction_columns(
    rng: np.random.Generator,
    people: People,
    encounters: Encounters,
    claims: Claims,
    provider: Text,
    organization: Text,
) -> dict[str, Text]:
    """claims_transactions.csv: charge, transfer out and in, payment; an open claim has only the charge."""
    steps = np.where(claims.is_open == 1, 1, len(TRANSACTION_TYPES))
    claim = np.repeat(np.arange(len(claims)), steps)
    step = np.arange(len(claim)) - np.repeat(np.cumsum(steps) - steps, steps)
    count, where = len(claim), claims.encounter[claim]
    cents = claims.cents[claim]
    is_charge, is_in, is_paid = step == 0, step == 2, step == 3
    is_transfer = (step == 1) | is_in
    money = decimals(cents, 2).cast("string")
    drug_codes, visit_codes = catalogue.column("medications", "code"), catalogue.column("encounters", "code")
    drug_texts, visit_texts = (
        catalogue.column("medications", "description"),
        catalogue.column("encounters", "description"),
    )
    service = np.where(claims.drug[claim] >= 0, claims.drug[claim] + len(visit_codes), encounters.kind[where])
    charge = take(organization, where)
    return {
        "ID": uuids(rng, count),
        "CLAIMID": take(claims.key, claim),
        "CHARGEID": texts(["1", "2", "3", "4"], step),
        "PATIENTID": take(people.key, encounters.person[where]),
        "TYPE": texts(TRANSACTION_TYPES, step),
        "AMOUNT": where_true(is_charge | is_in, money),
        "METHOD": texts(METHODS, np.where(is_paid, rng.integers(0, len(METHODS), size=count), -1)),
        "FROMDATE": moments(encounters.start[where]),
        "TODATE": moments(encounters.end[where]),
        "PLACEOFSERVICE": charge,
        "PROCEDURECODE": texts([*visit_codes, *drug_codes], service),
        "MODIFIER1": empty(count),
        "MODIFIER2": empty(count),
        "DIAGNOSISREF1": constant("1", count),
        "DIAGNOSISREF2": empty(count),
        "DIAGNOSISREF3": empty(count),
        "DIAGNOSISREF4": empty(count),
        "UNITS": constant("1", count),
        "DEPARTMENTID": constant(DEPARTMENT, count),
        "NOTES": texts([*visit_texts, *drug_texts], service),
        "UNITAMOUNT": where_true(is_charge, money),
        "TRANSFEROUTID": texts(["1"], np.where(is_in, 0, -1)),
        "TRANSFERTYPE": texts(["1", "p"], np.where(is_charge, 0, np.where(is_in, 1, -1))),
        "PAYMENTS": where_true(is_paid, money),
        "ADJUSTMENTS": empty(count),
        "TRANSFERS": where_true(is_transfer, money),
        "OUTSTANDING": decimals(np.where(is_transfer, cents, 0), 2),
        "APPOINTMENTID": take(encounters.key, where),
        "LINENOTE": empty(count),
        "PATIENTINSURANCEID": empty(count),
        "FEESCHEDULEID": constant("1", count),
        "PROVIDERID": take(provider, where),
        "SUPERVISINGPROVIDERID": take(provider, where),
    }
