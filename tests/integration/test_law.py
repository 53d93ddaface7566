"""The law through PostgreSQL: random nights, merges, vocabularies, refusals, rollbacks; each release is a rebuild's."""

import random
from pathlib import Path

import pytest
from tiny_hospital import TABLES, Hospital, Rows, write_tables, write_tiny_hospital, write_vocabulary

from etl.demo import demo_vocabulary_folder
from etl.errors import GateRefused
from etl.pipeline.runs import Run, database, settings
from etl.publish import rollback

pytestmark = [pytest.mark.property, pytest.mark.integration]

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
        if self.chance.random() < 0.4 and rows:
            rows.pop(self.chance.randrange(len(rows)))
        rows.append(TABLES["observations"][0] | {"DATE": f"{self.day()}T08:00:00Z", "PATIENT": self._somebody()})

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


def sequence(own: Hospital, nights: Nights, folder: Path, vocabularies: list[Path]) -> Run:
    """A night or two, some of them taken back, some delivered twice; then the rebuild of what is served.

    Some sequences begin with another vocabulary: the persons with codes that it changes are made again.
    """
    if nights.chance.random() < 0.4:
        vocabularies.append(vocabularies.pop(0))
        adopted = own.adopt(vocabularies[0])
        assert own.served_tables() == own.release_tables(adopted)
    for number in range(nights.chance.choice((1, 1, 1, 1, 2))):
        before = {name: list(rows) for name, rows in nights.tables.items()}
        drop = write_tables(folder / f"night-{number}", nights.change())
        run = own.drop(drop)
        assert own.served_tables() == own.release_tables(run)
        if nights.chance.random() < 0.2:
            assert own.drop(drop).status == "unchanged"
        if nights.chance.random() < 0.2:
            refused(own, nights, folder / f"refused-{number}")
            assert own.served_tables() == own.release_tables(run)
        if nights.chance.random() < 0.2:
            older = rollback(settings(), database(settings()), None)
            nights.tables = before
            assert own.served_tables() == older.tables
    return own.run(None)


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


def test_any_nights_give_what_a_full_rebuild_gives(
    own: Hospital, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    nights = Nights(random.Random(20261124))
    own.run(write_tiny_hospital(tmp_path / "first"))
    vocabularies = [demo_vocabulary_folder()] + [
        write_vocabulary(tmp_path / f"vocabulary-{number}", concepts, targets)
        for number, (concepts, targets) in enumerate(
            (
                ({"201826": {"domain_id": "Observation"}, "8507": {"concept_name": "MAN"}}, {}),
                ({"3004410": {"domain_id": "Observation"}}, {"320128": "201826"}),
            )
        )
    ]
    for number in range(200 if request.config.getoption("--long") else 20):
        rebuilt = sequence(own, nights, tmp_path / str(number), vocabularies)
        assert own.served_tables() == own.release_tables(rebuilt)
        [(tables,)] = own.query(
            "SELECT tables FROM etl.release WHERE withdrawn_at IS NULL "
            f"AND run_id <> '{rebuilt.run_id}' ORDER BY release_id DESC LIMIT 1"
        )
        assert own.release_tables(rebuilt) == tables, f"sequence {number}"
    narrowed = "parameters ->> 'is_drop' = 'true' OR parameters ->> 'vocabulary_id' IS NOT NULL"
    assert own.query(f"SELECT DISTINCT scope FROM etl.run WHERE {narrowed}") == [("persons",)]
    assert own.query("SELECT count(*) > 2 FROM etl.run WHERE parameters ->> 'vocabulary_id' IS NOT NULL") == [(True,)]
