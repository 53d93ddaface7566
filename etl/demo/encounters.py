"""When the demo hospital's patients were seen: one array entry per encounter, sorted by patient and time."""

from dataclasses import dataclass

import numpy as np

from etl.demo import catalogue
from etl.demo.columns import DAY_SECONDS, NOTHING, Bools, Ints, Text, uuids
from etl.demo.people import CUTOFF_DAY, YEAR_DAYS, People

FOLLOW_UP = "390906007"
DEATH_CERTIFICATION = "308646001"
FOLLOW_UPS_PER_YEAR = 0.8  # of each chronic disease
# How many encounters of a class have an acute illness as their reason.
ACUTE_SHARE = {"ambulatory": 0.55, "urgentcare": 0.8, "emergency": 0.8, "virtual": 0.7, "inpatient": 0.5, "snf": 0.3}
OPEN_STAY_SHARE = 0.004  # of the living are in hospital at the cut-off
TRANSFER_SHARE = 0.15  # of the stays are continued by another one that begins before the first ends
THROUGH_EMERGENCY_SHARE = 0.5
LONG_CLASSES = ("inpatient", "snf", "hospice")
# Chronic diseases that people die of, the likeliest cause first.
FATAL = ("414545008", "185086009", "433144002", "44054006", "59621000")
OPENING_HOURS = (8, 18)
CUTOFF_SECONDS = (CUTOFF_DAY + 1) * DAY_SECONDS - 1
EVERYTHING_ELSE = -1


@dataclass(frozen=True)
class Encounters:
    """`person` is the patient's number in its chunk, `kind` a row of encounters.csv, `acute` and `chronic` rows of
    acute.csv and chronic.csv or -1, `cause` the chronic disease that a death is put down to or -1. `stop` is NOTHING
    for stays that were open at the cut-off; `end` is never."""

    key: Text
    person: Ints
    kind: Ints
    start: Ints
    stop: Ints
    acute: Ints
    chronic: Ints
    cause: Ints

    def __len__(self) -> int:
        return len(self.person)

    @property
    def end(self) -> Ints:
        return np.where(self.stop == NOTHING, CUTOFF_SECONDS, self.stop)

    def of_class(self, name: str) -> Bools:
        found: Bools = np.isin(self.kind, catalogue.setting_of_class()[name])
        return found


@dataclass(frozen=True)
class _Draft:
    person: Ints
    kind: Ints
    start: Ints
    chronic: Ints


def make_encounters(rng: np.random.Generator, people: People) -> Encounters:
    """All encounters of one chunk; about 37 for a patient whose whole history is on record."""
    drafts = [_usual(rng, people), _follow_ups(rng, people), _deaths(people)]
    draft = _joined(drafts)
    minutes = catalogue.numbers("encounters", "minutes")[draft.kind]
    stop = draft.start + (minutes * 60 * rng.gamma(9.0, 1 / 9, len(minutes))).astype(np.int64)
    draft, stop = _with_transfers(rng, people, draft, stop)
    inmates = _still_here(rng, people)
    draft, stop = _joined([draft, inmates]), np.append(stop, np.full(len(inmates.person), CUTOFF_SECONDS))
    stop = np.minimum(stop, _end_of_life(people)[draft.person])
    is_long = np.isin(draft.kind, np.concatenate([catalogue.setting_of_class()[name] for name in LONG_CLASSES]))
    is_open = is_long & (stop >= CUTOFF_SECONDS)
    death = catalogue.position("encounters", DEATH_CERTIFICATION)
    order = np.lexsort((draft.start, draft.person))
    count = len(order)
    return Encounters(
        key=uuids(rng, count),
        person=draft.person[order],
        kind=draft.kind[order],
        start=draft.start[order],
        stop=np.where(is_open, NOTHING, stop)[order],
        acute=_acute_reasons(rng, draft)[order],
        chronic=draft.chronic[order],
        cause=np.where(draft.kind == death, _causes(people)[draft.person], EVERYTHING_ELSE)[order],
    )


def _joined(drafts: list[_Draft]) -> _Draft:
    return _Draft(
        *(np.concatenate([getattr(draft, name) for draft in drafts]) for name in ("person", "kind", "start", "chronic"))
    )


def _end_of_life(people: People) -> Ints:
    end: Ints = np.minimum((people.last_day + 1) * DAY_SECONDS - 1, CUTOFF_SECONDS)
    return end


def _moments(rng: np.random.Generator, first_day: Ints, last_day: Ints) -> Ints:
    """A moment within opening hours of a day from the first to before the last."""
    days = first_day + (rng.random(len(first_day)) * np.maximum(last_day - first_day, 1)).astype(np.int64)
    hours = rng.integers(OPENING_HOURS[0] * 3600, OPENING_HOURS[1] * 3600, size=len(first_day))
    moments: Ints = days * DAY_SECONDS + hours
    return moments


def _usual(rng: np.random.Generator, people: People) -> _Draft:
    """What befalls everybody at the rates of encounters.csv; the old and the very young come more often."""
    years = (people.last_day - people.first_day) / YEAR_DAYS
    age = (people.last_day - people.birth_day) / YEAR_DAYS
    often = people.busyness * (0.8 + 0.4 * (age > 60) + 0.3 * (age < 4))
    expected = (years * often)[:, None] * catalogue.numbers("encounters", "per_year")[None, :]
    counts = rng.poisson(expected)
    person, kind = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices(counts.shape))
    start = _moments(rng, people.first_day[person] + 1, people.last_day[person])
    return _Draft(person, kind, start, np.full(len(person), EVERYTHING_ELSE))


def _follow_ups(rng: np.random.Generator, people: People) -> _Draft:
    """Visits because of a chronic disease, from its onset on."""
    known = people.onset_day != NOTHING
    since = np.maximum(np.where(known, people.onset_day, 0), people.first_day[:, None]) + 1
    years = np.maximum(people.last_day[:, None] - since, 0) / YEAR_DAYS * known
    counts = rng.poisson(years * FOLLOW_UPS_PER_YEAR)
    person, chronic = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices(counts.shape))
    start = _moments(rng, since[person, chronic], people.last_day[person])
    kind = np.full(len(person), catalogue.position("encounters", FOLLOW_UP))
    return _Draft(person, kind, start, chronic)


def _deaths(people: People) -> _Draft:
    """The certification on the day of death."""
    person = np.flatnonzero(people.death_day != NOTHING)
    kind = np.full(len(person), catalogue.position("encounters", DEATH_CERTIFICATION))
    start = people.death_day[person] * DAY_SECONDS + OPENING_HOURS[1] * 3600
    return _Draft(person, kind, start, np.full(len(person), EVERYTHING_ELSE))


def _still_here(rng: np.random.Generator, people: People) -> _Draft:
    """Stays that began in the last days and had no end when the data were taken."""
    living = (people.death_day == NOTHING) & (people.first_day < CUTOFF_DAY - 7)
    person = np.flatnonzero(living & (rng.random(len(people)) < OPEN_STAY_SHARE))
    kind = np.full(len(person), catalogue.setting_of_class()["inpatient"][0])
    last_day = np.full(len(person), CUTOFF_DAY)
    return _Draft(person, kind, _moments(rng, last_day - 5, last_day), np.full(len(person), EVERYTHING_ELSE))


def _causes(people: People) -> Ints:
    """Per patient the chronic disease that would kill first, -1 for none."""
    cause = np.full(len(people), EVERYTHING_ELSE)
    for code in reversed(FATAL):
        disease = catalogue.position("chronic", code)
        cause = np.where(people.onset_day[:, disease] != NOTHING, disease, cause)
    return cause


def _with_transfers(rng: np.random.Generator, people: People, draft: _Draft, stop: Ints) -> tuple[_Draft, Ints]:
    """Stays that came through the emergency room, and stays that go on in another one before they end."""
    stays = np.flatnonzero(np.isin(draft.kind, catalogue.setting_of_class()["inpatient"]))
    emergency = catalogue.setting_of_class()["emergency"][0]
    arrived = stays[rng.random(len(stays)) < THROUGH_EMERGENCY_SHARE]
    moved = stays[rng.random(len(stays)) < TRANSFER_SHARE]
    halfway = draft.start[moved] + (stop[moved] - draft.start[moved]) * 6 // 10
    in_life = halfway < _end_of_life(people)[draft.person[moved]]
    moved, halfway = moved[in_life], halfway[in_life]
    none = np.full(len(arrived) + len(moved), EVERYTHING_ELSE)
    more = _Draft(
        person=draft.person[np.concatenate([arrived, moved])],
        kind=np.concatenate([np.full(len(arrived), emergency), draft.kind[moved]]),
        start=np.concatenate([draft.start[arrived] - 3 * 3600, halfway]),
        chronic=none,
    )
    more_stop = np.concatenate([draft.start[arrived], halfway + 3 * DAY_SECONDS])
    return _joined([draft, more]), np.concatenate([stop, more_stop])


def _acute_reasons(rng: np.random.Generator, draft: _Draft) -> Ints:
    weight = catalogue.numbers("acute", "weight")
    drawn = rng.choice(len(weight), size=len(draft.kind), p=weight / weight.sum())
    share_of_kind = np.array([ACUTE_SHARE.get(name, 0.0) for name in catalogue.column("encounters", "class")])
    is_ill = (rng.random(len(draft.kind)) < share_of_kind[draft.kind]) & (draft.chronic < 0)
    return np.where(is_ill, drawn, EVERYTHING_ELSE)
