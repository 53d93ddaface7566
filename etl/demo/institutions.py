"""The hospital's houses, staff and payers, and what patients.csv says of people: all invented."""

from dataclasses import dataclass

import numpy as np

from etl.demo.columns import (
    Ints,
    Text,
    constant,
    dates,
    decimals,
    digits,
    empty,
    join_texts,
    take,
    texts,
    uuids,
    where,
)
from etl.demo.people import RACES, People

ORGANIZATIONS = 30
PROVIDERS = 150
CITIES = (
    ("Alderbrook", "Middlesex County", "34023", "07001"),
    ("Birchfield", "Camden County", "34007", "08033"),
    ("Cedar Hollow", "Burlington County", "34005", "08088"),
    ("Dunmere", "Passaic County", "34031", "07442"),
    ("Elmstead", "Essex County", "34013", "07017"),
    ("Fernley Falls", "Ocean County", "34029", "08753"),
    ("Glenhaven", "Mercer County", "34021", "08608"),
    ("Harrowgate", "Bergen County", "34003", "07601"),
)
PAYERS = (
    ("Medicare", "GOVERNMENT"),
    ("Medicaid", "GOVERNMENT"),
    ("Dual Eligible", "GOVERNMENT"),
    ("Harbour Mutual", "PRIVATE"),
    ("Northern Cross", "PRIVATE"),
    ("Unity Care", "PRIVATE"),
    ("Meridian Health", "PRIVATE"),
    ("NO_INSURANCE", "NO_INSURANCE"),
)
FIRST_NAMES = ("Alina", "Bram", "Cosima", "Dario", "Edda", "Falk", "Greta", "Hanno", "Ilka", "Jorin", "Kaja", "Levin")
LAST_NAMES = ("Ashgrove", "Brindle", "Corvane", "Dellwick", "Eastmoor", "Farrow", "Grimsel", "Holloway", "Ivergard")
STREETS = ("Larch Street", "Mill Lane", "Quarry Road", "Station Way", "Tanner Row", "Weaver Close")
SPECIALITIES = ("GENERAL PRACTICE", "GENERAL PRACTICE", "GENERAL PRACTICE", "INTERNAL MEDICINE", "FAMILY PRACTICE")
STATE, STATE_CODE = "New Jersey", "NJ"


@dataclass(frozen=True)
class Institutions:
    """The identifiers that every chunk of patients refers to."""

    organizations: Text
    providers: Text
    payers: Text


def make_institutions(rng: np.random.Generator) -> Institutions:
    return Institutions(uuids(rng, ORGANIZATIONS), uuids(rng, PROVIDERS), uuids(rng, len(PAYERS)))


def organization_columns(rng: np.random.Generator, known: Institutions) -> dict[str, Text]:
    """organizations.csv."""
    number = np.arange(ORGANIZATIONS)
    place = number % len(CITIES)
    kinds = ("GENERAL HOSPITAL", "HEALTH CENTER", "FAMILY PRACTICE", "SKILLED NURSING HOME")
    return {
        "Id": known.organizations,
        "NAME": texts([f"{city[0].upper()} {kind}" for kind in kinds for city in CITIES], number),
        "ADDRESS": _address(rng, ORGANIZATIONS),
        "CITY": _of_city(0, place),
        "STATE": constant(STATE_CODE, ORGANIZATIONS),
        "ZIP": _of_city(3, place),
        "LAT": _latitude(place),
        "LON": _longitude(place),
        "PHONE": digits(rng.integers(5_550_000_000, 5_560_000_000, size=ORGANIZATIONS), 10),
        "REVENUE": constant("0.0", ORGANIZATIONS),
        "UTILIZATION": rng.integers(10, 900, size=ORGANIZATIONS),
    }


def provider_columns(rng: np.random.Generator, known: Institutions) -> dict[str, Text]:
    """providers.csv; provider p works at organization p modulo their number."""
    organization = np.arange(PROVIDERS) % ORGANIZATIONS
    place = organization % len(CITIES)
    speciality = rng.integers(0, len(SPECIALITIES), size=PROVIDERS)
    return {
        "Id": known.providers,
        "ORGANIZATION": take(known.organizations, organization),
        "NAME": join_texts(
            [_name(rng, FIRST_NAMES, PROVIDERS), constant(" ", PROVIDERS), _name(rng, LAST_NAMES, PROVIDERS)]
        ),
        "GENDER": texts(["M", "F"], rng.integers(0, 2, size=PROVIDERS)),
        "SPECIALITY": texts(SPECIALITIES, speciality),
        "ADDRESS": _address(rng, PROVIDERS),
        "CITY": _of_city(0, place),
        "STATE": constant(STATE_CODE, PROVIDERS),
        "ZIP": _of_city(3, place),
        "LAT": _latitude(place),
        "LON": _longitude(place),
        "ENCOUNTERS": rng.integers(10, 900, size=PROVIDERS),
        "PROCEDURES": constant("0", PROVIDERS),
    }


def payer_columns(known: Institutions) -> dict[str, Text]:
    """payers.csv; the sums that Synthea puts there are zero."""
    count = len(PAYERS)
    zero = constant("0", count)
    number = np.arange(count)
    return {
        "Id": known.payers,
        "NAME": texts([name for name, _ in PAYERS], number),
        "OWNERSHIP": texts([ownership for _, ownership in PAYERS], number),
        **{name: empty(count) for name in ("ADDRESS", "CITY", "STATE_HEADQUARTERED", "ZIP", "PHONE")},
        **{name: constant("0.00", count) for name in ("AMOUNT_COVERED", "AMOUNT_UNCOVERED", "REVENUE")},
        **{name: zero for name in _COUNTERS},
        "QOLS_AVG": constant("0.9", count),
        "MEMBER_MONTHS": zero,
    }


_COUNTERS = (
    "COVERED_ENCOUNTERS",
    "UNCOVERED_ENCOUNTERS",
    "COVERED_MEDICATIONS",
    "UNCOVERED_MEDICATIONS",
    "COVERED_PROCEDURES",
    "UNCOVERED_PROCEDURES",
    "COVERED_IMMUNIZATIONS",
    "UNCOVERED_IMMUNIZATIONS",
    "UNIQUE_CUSTOMERS",
)


def patient_columns(rng: np.random.Generator, people: People) -> dict[str, Text]:
    """patients.csv with everything that identifies a person, so that a careless pipeline would show it."""
    count = len(people)
    female = people.is_female.astype(np.int64)
    number = rng.integers(0, 1_000_000, size=count)
    city = people.home
    is_adult = (people.last_day - people.birth_day) > 18 * 365
    last = _name(rng, LAST_NAMES, count)
    return {
        "Id": people.key,
        "BIRTHDATE": dates(people.birth_day),
        "DEATHDATE": dates(people.death_day),
        "SSN": join_texts(
            [constant("999-", count), digits(number % 90 + 10, 2), constant("-", count), digits(number % 10_000, 4)]
        ),
        "DRIVERS": where(is_adult, join_texts([constant("S99", count), digits(number, 6)])),
        "PASSPORT": where(
            is_adult & (number % 2 == 0), join_texts([constant("X", count), digits(number, 8), constant("X", count)])
        ),
        "PREFIX": texts(["Mr.", "Ms."], np.where(is_adult, female, -1)),
        "FIRST": _name(rng, FIRST_NAMES, count),
        "MIDDLE": _name(rng, FIRST_NAMES, count),
        "LAST": last,
        "SUFFIX": empty(count),
        "MAIDEN": where(is_adult & people.is_female & (number % 3 == 0), _name(rng, LAST_NAMES, count)),
        "MARITAL": texts(["M", "S", "D", "W"], np.where(is_adult, number % 4, -1)),
        "RACE": texts(RACES, people.race),
        "ETHNICITY": texts(["nonhispanic", "hispanic"], people.is_hispanic.astype(np.int64)),
        "GENDER": texts(["M", "F"], female),
        "BIRTHPLACE": join_texts([_of_city(0, city), constant(f"  {STATE}  US", count)]),
        "ADDRESS": _address(rng, count),
        "CITY": _of_city(0, city),
        "STATE": constant(STATE, count),
        "COUNTY": _of_city(1, city),
        "FIPS": _of_city(2, city),
        "ZIP": _of_city(3, city),
        "LAT": _latitude(city),
        "LON": _longitude(city),
        "HEALTHCARE_EXPENSES": decimals(rng.integers(100_000, 90_000_000, size=count), 2),
        "HEALTHCARE_COVERAGE": decimals(rng.integers(10_000, 20_000_000, size=count), 2),
        "INCOME": rng.integers(9_000, 190_000, size=count),
    }


def _name(rng: np.random.Generator, names: tuple[str, ...], count: int) -> Text:
    """A name with a number behind, as Synthea writes them."""
    return join_texts(
        [texts(names, rng.integers(0, len(names), size=count)), digits(rng.integers(0, 1000, size=count), 3)]
    )


def _address(rng: np.random.Generator, count: int) -> Text:
    house = digits(rng.integers(1, 1000, size=count), 3)
    return join_texts([house, constant(" ", count), texts(STREETS, rng.integers(0, len(STREETS), size=count))])


def _of_city(part: int, place: Ints) -> Text:
    return texts([city[part] for city in CITIES], place)


def _latitude(place: Ints) -> Text:
    return decimals(39_500_000 + place * 120_000, 6)


def _longitude(place: Ints) -> Text:
    return decimals(-75_100_000 + place * 90_000, 6)
