"""The demo hospital's patients: who they are, how long they live, which chronic diseases they get."""

from dataclasses import dataclass

import numpy as np

from etl.demo import catalogue
from etl.demo.columns import NOTHING, Bools, Floats, Ints, Text, uuids

CUTOFF_DAY = int(np.datetime64("2026-06-30").astype(np.int64))
BIRTHS = (1930, 2024)
YEAR_DAYS = 365.25
# Records reach back so far at most; older life left no trace in this hospital.
HISTORY_YEARS = 12
DEATH_SHARE = 0.08
RACES = ("white", "black", "asian", "native", "hawaiian", "other")
RACE_SHARES = (0.66, 0.14, 0.11, 0.02, 0.02, 0.05)
STARTER_DAYS = 30  # a death comes this many days after the first possible record at the earliest


@dataclass(frozen=True)
class People:
    """One chunk of patients. Days count from 1970; `death_day` is NOTHING for the living; `last_day` is the death or
    the cut-off. `onset_day` is (patients, chronic diseases), NOTHING where the disease never comes."""

    key: Text
    birth_day: Ints
    death_day: Ints
    first_day: Ints
    last_day: Ints
    is_female: Bools
    race: Ints
    is_hispanic: Bools
    onset_day: Ints
    busyness: Floats
    home: Ints
    payer: Ints

    def __len__(self) -> int:
        return len(self.birth_day)


def make_people(rng: np.random.Generator, count: int, cities: int, payers: int) -> People:
    """Patients born 1930 to 2024; older ones die more often, 8 % of all before the cut-off."""
    first, last = (int(np.datetime64(f"{year}-01-01").astype(np.int64)) for year in (BIRTHS[0], BIRTHS[1] + 1))
    birth_day = rng.integers(first, last, size=count)
    age_days = CUTOFF_DAY - birth_day
    first_day = np.maximum(birth_day, CUTOFF_DAY - int(HISTORY_YEARS * YEAR_DAYS))
    # the weight grows with age so that its mean is about one: the share of deaths stays as asked
    weight = (age_days / (52 * YEAR_DAYS)) ** 3 / 1.9
    dies = rng.random(count) < DEATH_SHARE * weight
    span = CUTOFF_DAY - first_day
    dies &= span > 2 * STARTER_DAYS
    died_on = first_day + STARTER_DAYS + (rng.random(count) * np.maximum(span - 2 * STARTER_DAYS, 1)).astype(np.int64)
    death_day = np.where(dies, died_on, NOTHING)
    last_day = np.where(dies, died_on, CUTOFF_DAY)
    return People(
        key=uuids(rng, count),
        birth_day=birth_day,
        death_day=death_day,
        first_day=first_day,
        last_day=last_day,
        is_female=rng.random(count) < 0.51,
        race=rng.choice(len(RACES), size=count, p=RACE_SHARES),
        is_hispanic=rng.random(count) < 0.15,
        onset_day=_onsets(rng, birth_day, last_day),
        busyness=rng.gamma(4.0, 0.25, size=count),
        home=rng.integers(0, cities, size=count),
        payer=rng.integers(0, payers, size=count),
    )


def _onsets(rng: np.random.Generator, birth_day: Ints, last_day: Ints) -> Ints:
    share = catalogue.numbers("chronic", "share")
    age = catalogue.numbers("chronic", "onset_age")
    spread = catalogue.numbers("chronic", "onset_sd")
    shape = (len(birth_day), len(share))
    # `share` is among those who reach the age: most of this population does not, so it is raised
    gets_it = rng.random(shape) < share * 1.4
    onset = birth_day[:, None] + (np.maximum(rng.normal(age, spread, shape), 0.5) * YEAR_DAYS).astype(np.int64)
    return np.where(gets_it & (onset < last_day[:, None]), onset, NOTHING)
