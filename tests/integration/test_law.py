"""The law through PostgreSQL: random nights, merges, vocabularies, refusals, rollbacks and backfills.

After each sequence of them the release is a rebuild's, and no number has changed on the way.
"""

import logging
import random
import shutil
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from stable_ids import StableIds
from tiny_hospital import TABLES, Hospital, Rows, write_tables, write_tiny_hospital, write_vocabulary

from etl import land
from etl.config import Settings
from etl.demo import demo_vocabulary_folder
from etl.errors import GateRefused
from etl.pipeline.runs import Run, database, load_run, settings
from etl.publish import rollback

pytestmark = [pytest.mark.property, pytest.mark.integration]
log = logging.getLogger(__name__)

CODES = ("44054006", "59621000", "LOCAL-404", "38341003")
CLASSES = ("inpatient", "ambulatory", "emergency", "wellness")


class Nights:
    """A hospital's files as they are now, and how they change by chance."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.tables: dict[str, Rows] = {name: list(rows) for name, rows in (TABLES | {"patient_merges": []}).items()}
        self.made = 0

    def day(self) -> str:
        return f"2024-{self.chance.randint(1, 12):02}-{self.chance.randint(1, 28):02}"

    def change(self) -> dict[str, Rows]:
        """What one night changes: the new files of one to three tables."""
        names = self.chance.sample(
            ("patients", "encounters", "conditions", "observations", "providers", "organizations", "patient_merges"),
            self.chance.randint(1, 3),
        )
        for name in names:
            getattr(self, f"_{name}")(self.tables[name])
        return {name: self.tables[name] for name in names}

    def _new(self, prefix: str) -> str:
        self.made += 1
        return f"{prefix}{self.made + 100}"

    def _somebody(self) -> str:
        return self.chance.choice([row["Id"] for row in self.tables["patients"]] or ["nobody"])

    def _patients(self, rows: Rows) -> None:
        kind = self.chance.choice(("come", "go", "move", "correct"))
        place = self.chance.randrange(len(rows))
        if kind == "come":
            rows.append(rows[place] | {"Id": self._new("p"), "BIRTHDATE": "1980-01-01"})
        elif kind == "go" and len(rows) > 2:
            rows.pop(place)
        elif kind == "move":
            rows[place] = rows[place] | {"CITY": self.chance.choice(("Seoul", "Busan", "Daegu"))}
        else:
            rows[place] = rows[place] | {
                "GENDER": self.chance.choice("FM"),
                "DEATHDATE": self.chance.choice(("", self.day())),
            }

    def _encounters(self, rows: Rows) -> None:
        kind = self.chance.choice(("come", "go", "another patient", "open"))
        place = self.chance.randrange(len(rows))
        day = self.day()
        if kind == "go" and len(rows) > 2:
            rows.pop(place)
        elif kind == "another patient":
            rows[place] = rows[place] | {"PATIENT": self._somebody()}
        else:
            stop = "" if kind == "open" else f"{day}T11:00:00Z"
            rows.append(
                {"Id": self._new("e"), "START": f"{day}T10:00:00Z", "STOP": stop, "PATIENT": self._somebody(),
                 "ENCOUNTERCLASS": self.chance.choice(CLASSES)}
            )  # fmt: skip

    def _conditions(self, rows: Rows) -> None:
        if self.chance.random() < 0.4 and rows:
            rows.pop(self.chance.randrange(len(rows)))
        visit = self.chance.choice(self.tables["encounters"])
        rows.append(
            {"START": self.day(), "PATIENT": visit["PATIENT"], "ENCOUNTER": visit["Id"],
             "CODE": self.chance.choice(CODES), "DESCRIPTION": ""}
        )  # fmt: skip

    def _observations(self, rows: Rows) -> None:
        """They are appended to: a night brings its own only."""
        rows[:] = [
            TABLES["observations"][0] | {"DATE": f"{self.day()}T08:00:00Z", "PATIENT": self._somebody()}
            for _ in range(self.chance.randint(1, 2))
        ]

    def _providers(self, rows: Rows) -> None:
        if self.chance.random() < 0.5 and rows:
            rows.pop()
        else:
            rows.append({"Id": "d1" if not rows else self._new("d"), "ORGANIZATION": "o1", "GENDER": "F"})

    def _patient_merges(self, rows: Rows) -> None:
        merged = {row["OLD_ID"] for row in rows}
        apart = [row["Id"] for row in self.tables["patients"] if row["Id"] not in merged]
        if rows and (self.chance.random() < 0.5 or not apart):
            rows.pop(self.chance.randrange(len(rows)))
        else:
            rows.append({"OLD_ID": apart[0], "SURVIVING_ID": self._somebody(), "MERGED_ON": self.day()})

    def _organizations(self, rows: Rows) -> None:
        rows[0] = rows[0] | {"CITY": self.chance.choice(("Seoul", "Busan")), "NAME": self._new("Hospital ")}


class Law:
    """A hospital that is loaded night by night, with all that may come between; each release is looked at."""

    def __init__(self, own: Hospital, nights: Nights, incoming: Path, vocabularies: list[Path], first: Run) -> None:
        self.own, self.nights, self.incoming, self.vocabularies = own, nights, incoming, vocabularies
        self.ids = StableIds(own)
        self.newest = date(2025, 1, 1)
        self.delivered: list[date] = []
        self.count: Counter[str] = Counter()
        self.published(first, "first")

    def happens(self, share: float) -> bool:
        return self.nights.chance.random() < share

    def published(self, run: Run, what: str) -> None:
        """What a run that published must hold; an unchanged one has left the release before it."""
        self.count[what] += 1
        if run.status == "unchanged":
            return
        assert run.status == "published"
        assert self.own.served_tables() == self.own.release_tables(run), what
        self.ids.look(run)

    def sequence(self) -> None:
        """A night or two and what may come before, after and instead of them; then the rebuild of what is served."""
        if self.happens(0.3):
            self.vocabularies.append(self.vocabularies.pop(0))
            self.published(self.own.adopt(self.vocabularies[0]), "adoption")
        for _ in range(self.nights.chance.choice((1, 1, 1, 1, 2))):
            self.night()
        if self.happens(0.3):
            self.corrected_night()
        if self.happens(0.15):
            self.late_night()
        if self.happens(0.2):
            self.replay()
        candidate = self.own.candidate()
        assert self.own.candidate_tables(candidate) == self.own.served_tables(), self.count
        maintained, anew = self.own.maintained(), self.own.counted_anew(candidate)
        assert {name: count for name, count in maintained.items() if anew[name] != count} == {}, self.count
        assert maintained.keys() == anew.keys()

    def night(self) -> None:
        """The drop folder of the next night but one: some nights bring nothing, until they come late."""
        before = {name: list(rows) for name, rows in self.nights.tables.items()}
        self.newest += timedelta(days=2)
        folder = write_tables(self.incoming / str(self.newest), self.nights.change())
        self.delivered.append(self.newest)
        run = self.own.drop(folder)
        self.published(run, "night")
        if self.happens(0.2):
            assert self.own.drop(folder).status == "unchanged"
        if self.happens(0.1):
            served = self.own.served_tables()
            refused(self.own, self.nights, self.incoming / "refused")
            assert self.own.served_tables() == served
        if run.status == "published" and self.happens(0.15):
            older = rollback(settings(), database(settings()), None)
            self.nights.tables = before
            assert self.own.served_tables() == older.tables
            self.ids.look(load_run(older.run_id))

    def corrected_night(self) -> None:
        """A folder of the past is delivered again with other rows, with a table more or a table less."""
        night = self.nights.chance.choice(self.delivered[-4:])
        folder, kept = self.incoming / str(night), self.nights.tables
        self.nights.tables = {name: list(rows) for name, rows in kept.items()}
        write_tables(folder, self.nights.change())
        files = sorted(folder.glob("*.csv"))
        if len(files) > 1 and self.happens(0.3):
            self.nights.chance.choice(files).unlink()
        if night != self.delivered[-1]:
            self.nights.tables = kept
        self.published(self.own.backfill(str(night)), "corrected night")

    def late_night(self) -> None:
        """A night that nobody delivered at its time, before ones that are there."""
        night = self.nights.chance.choice(self.delivered[-4:]) - timedelta(days=1)
        kept = self.nights.tables
        self.nights.tables = {name: list(rows) for name, rows in kept.items()}
        write_tables(self.incoming / str(night), self.nights.change())
        self.nights.tables = kept
        self.published(self.own.backfill(str(night)), "late night")

    def replay(self) -> None:
        """A night is brought again as it was, from its folder or its landed batches. Twice changes nothing more."""
        night = str(self.nights.chance.choice(self.delivered[-4:]))
        folder = self.incoming / night
        if self.happens(0.5):
            shutil.rmtree(folder, ignore_errors=True)
        self.published(self.own.backfill(night), "replay of a folder" if folder.exists() else "replay of batches")
        if self.happens(0.3):
            served = self.own.served_tables()
            self.published(self.own.backfill(night), "replay")
            assert self.own.served_tables() == served


def refused(own: Hospital, nights: Nights, folder: Path) -> None:
    """A night that the gate refuses: a record long before its patient's birth, beside a new patient who stays away."""
    somebody = nights.tables["patients"][0] | {"Id": nights._new("p")}
    impossible = {"START": "1890-01-01", "PATIENT": somebody["Id"], "CODE": "59621000"}
    tables = {
        "patients": [*nights.tables["patients"], somebody],
        "conditions": [*nights.tables["conditions"], impossible],
    }
    with pytest.raises(GateRefused):
        own.drop(write_tables(folder, tables))


@pytest.fixture
def appending(own: Hospital, monkeypatch: pytest.MonkeyPatch) -> Hospital:
    """A home whose observations are appended to: what a night delivers stands beside what others did."""
    as_it_is = land.load_contract

    def load_contract(settings: Settings, source: str) -> land.Contract:
        contract = as_it_is(settings, source)
        observations = replace(contract.tables["observations"], change="append")
        return replace(contract, tables={**contract.tables, "observations": observations})

    monkeypatch.setattr("etl.land.load_contract", load_contract)
    monkeypatch.setattr("etl.pipeline.runs.load_contract", load_contract)
    return own


@pytest.mark.timeout(14_400)  # 20 sequences take 5 minutes on a quiet machine, 200 with --long an hour
def test_any_nights_and_backfills_give_what_a_full_rebuild_gives(
    appending: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    own = appending
    monkeypatch.setenv("CDMFLOW_INCOMING", str(tmp_path / "incoming"))
    nights = Nights(random.Random(20261124))
    first = own.run(write_tiny_hospital(tmp_path / "first"))
    vocabularies = [demo_vocabulary_folder()] + [
        write_vocabulary(tmp_path / f"vocabulary-{number}", concepts, targets)
        for number, (concepts, targets) in enumerate(
            (
                ({"201826": {"domain_id": "Observation"}, "8507": {"concept_name": "MAN"}}, {}),
                ({"3004410": {"domain_id": "Observation"}}, {"320128": "201826"}),
            )
        )
    ]
    law = Law(own, nights, tmp_path / "incoming", vocabularies, first)
    for number in range(200 if request.config.getoption("--long") else 20):
        law.sequence()
        log.info("sequence %d: %s, %d records of untouched persons", number, dict(law.count), law.ids.compared)
    published = own.run(None)
    assert own.served_tables() == own.release_tables(published) == own.rebuilt()
    narrowed = "parameters ->> 'is_drop' = 'true' OR parameters ->> 'vocabulary_id' IS NOT NULL"
    assert own.query(f"SELECT DISTINCT scope FROM etl.run WHERE {narrowed}") == [("persons",)]
    wanted = ("night", "adoption", "corrected night", "late night", "replay of a folder", "replay of batches")
    assert all(law.count[what] for what in wanted), law.count
    assert law.ids.compared > 0, "records of untouched persons were there to compare"
