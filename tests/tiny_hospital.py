"""A hospital of three patients in Synthea's layout, small enough to be read, for whole runs."""

import csv
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from homes import make_home, remove_home

from etl.cdm import tables
from etl.config import settings
from etl.demo import demo_vocabulary_folder
from etl.engine import connection, quote_path
from etl.land import load_contract
from etl.pipeline.account import TableAccount, table_accounts
from etl.pipeline.backfill import arguments_of_night
from etl.pipeline.counts import KEPT, PROFILE, count_release, kept_with, quality_folder
from etl.pipeline.execute import run_steps
from etl.pipeline.judgement import stored_results
from etl.pipeline.refresh import load_version
from etl.pipeline.runs import Run, close_run, current_run, database, engine, load_run, open_run, record
from etl.pipeline.steps import steps
from etl.pipeline.tasks import run_step
from etl.publish.release import cdm_tables
from etl.publish.session import open_session
from etl.publish.transfer import candidate_digest, published_digest
from etl.quality import CheckResult

Rows = list[dict[str, str]]

TABLES: dict[str, Rows] = {
    "patients": [
        {"Id": "p1", "BIRTHDATE": "1960-03-01", "RACE": "white", "ETHNICITY": "nonhispanic", "GENDER": "F",
         "FIRST": "Ada", "LAST": "One", "SSN": "999-11-1111", "ADDRESS": "1 First Street", "CITY": "Seoul",
         "STATE": "Seoul", "ZIP": "03080"},
        {"Id": "p2", "BIRTHDATE": "1950-07-15", "DEATHDATE": "2024-05-01", "RACE": "asian", "ETHNICITY": "nonhispanic",
         "GENDER": "M", "FIRST": "Bo", "LAST": "Two", "SSN": "999-22-2222", "ADDRESS": "2 Second Street",
         "CITY": "Busan", "STATE": "Busan", "ZIP": "48058"},
        {"Id": "p3", "BIRTHDATE": "2001-12-31", "RACE": "other", "ETHNICITY": "hispanic", "GENDER": "F",
         "FIRST": "Cy", "LAST": "Three", "SSN": "999-33-3333", "ADDRESS": "3 Third Street", "CITY": "Seoul",
         "STATE": "Seoul", "ZIP": "03080"},
    ],
    "organizations": [{"Id": "o1", "NAME": "Hospital One", "CITY": "Seoul", "STATE": "Seoul", "ZIP": "03080"}],
    "providers": [{"Id": "d1", "ORGANIZATION": "o1", "NAME": "Doc One", "GENDER": "F", "SPECIALITY": "UROLOGY"}],
    "encounters": [
        {"Id": "e1", "START": "2023-01-10T09:00:00Z", "STOP": "2023-01-10T09:30:00Z", "PATIENT": "p1",
         "ENCOUNTERCLASS": "ambulatory"},
        {"Id": "e2", "START": "2024-04-01T10:00:00Z", "STOP": "2024-04-03T10:00:00Z", "PATIENT": "p2",
         "ENCOUNTERCLASS": "inpatient"},
        {"Id": "e3", "START": "2024-06-01T08:00:00Z", "STOP": "2024-06-01T08:20:00Z", "PATIENT": "p3",
         "ENCOUNTERCLASS": "wellness"},
    ],
    "conditions": [
        {"START": "2023-01-10", "STOP": "", "PATIENT": "p1", "ENCOUNTER": "e1", "CODE": "44054006",
         "DESCRIPTION": "Diabetes mellitus type 2 (disorder)"},
        {"START": "2024-04-01", "STOP": "2024-04-03", "PATIENT": "p2", "ENCOUNTER": "e2", "CODE": "LOCAL-404",
         "DESCRIPTION": "A code that nobody knows"},
    ],
    "observations": [
        {"DATE": "2023-01-10T09:10:00Z", "PATIENT": "p1", "ENCOUNTER": "e1", "CATEGORY": "laboratory",
         "CODE": "4548-4", "DESCRIPTION": "Hemoglobin A1c", "VALUE": "7.1", "UNITS": "%", "TYPE": "numeric"},
    ],
}  # fmt: skip


def header(table: str) -> list[str]:
    """All columns that the contract of Synthea names, the identifying ones that are never landed too."""
    contract = load_contract(settings(), "synthea").tables[table]
    return [column.name for column in contract.columns] + sorted(name.upper() for name in contract.pii)


def write_tiny_hospital(folder: Path, changes: dict[str, Rows] | None = None) -> Path:
    """Write the hospital's files; `changes` replaces whole tables. Encounters are at o1, with d1, for 100 dollars."""
    return write_tables(folder, TABLES | (changes or {}))


def write_tables(folder: Path, tables: dict[str, Rows]) -> Path:
    """Write the files of these tables only, as a night's drop has them."""
    folder.mkdir(parents=True, exist_ok=True)
    money = {"BASE_ENCOUNTER_COST": "100", "TOTAL_CLAIM_COST": "100", "PAYER_COVERAGE": "80"}
    for table, rows in tables.items():
        defaults = {"ORGANIZATION": "o1", "PROVIDER": "d1", **money} if table == "encounters" else {}
        with (folder / f"{table}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, header(table), restval="", extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(defaults | row for row in rows)
    return folder


def write_vocabulary(
    folder: Path, concepts: dict[str, dict[str, str]] | None = None, targets: dict[str, str] | None = None
) -> Path:
    """The demo's bundle as another version: concepts with other columns, another target of `Maps to` ('' for none)."""
    shutil.copytree(demo_vocabulary_folder(), folder)
    _edit(folder / "CONCEPT.csv", lambda row: row | (concepts or {}).get(row["concept_id"], {}))
    _edit(folder / "CONCEPT_RELATIONSHIP.csv", lambda row: _leading_elsewhere(row, targets or {}))
    return folder


def _leading_elsewhere(row: dict[str, str], targets: dict[str, str]) -> dict[str, str] | None:
    if row["relationship_id"] != "Maps to" or row["concept_id_1"] not in targets:
        return row
    target = targets[row["concept_id_1"]]
    return row | {"concept_id_2": target} if target else None


def _edit(file: Path, changed: Callable[[dict[str, str]], dict[str, str] | None]) -> None:
    names, *lines = file.read_text(encoding="utf-8").splitlines()
    rows = [changed(dict(zip(names.split("\t"), line.split("\t"), strict=True))) for line in lines]
    file.write_text("\n".join([names, *("\t".join(row.values()) for row in rows if row)]) + "\n", encoding="utf-8")


Counts = dict[str, Any]


def _comparable(results: Iterable[CheckResult], kept: Path) -> Counts:
    found: Counts = {
        result.check_id: (result.violated, result.denominator, result.status)
        for result in results
        if result.origin != "drift" and not result.check_id.startswith("accounting.")
    }
    with connection(threads=1) as con:
        for name in KEPT:
            found[name] = con.execute(f"SELECT * FROM read_parquet({quote_path(kept / name)}) ORDER BY ALL").fetchall()
    return found


@dataclass(frozen=True)
class Hospital:
    """A home with its own PostgreSQL, to run real pipelines in."""

    home: Path

    def run(self, folder: Path | None, vocabulary: Path | None = None, *, workers: int | None = None) -> Run:
        """A whole delivery; without a folder, a rebuild of the current release."""
        chosen = str(vocabulary or demo_vocabulary_folder()) if folder or vocabulary else None
        run_id = open_run(source="synthea", input_folder=str(folder) if folder else None, vocabulary_folder=chosen)
        run_steps(run_id, workers=workers)
        return load_run(run_id)

    def rebuilt(self) -> dict[str, Any]:
        """The tables of a rebuild of the current release, in the form of `release_tables`; it is not published."""
        return self.candidate_tables(self.candidate())

    def candidate(self) -> Run:
        """A rebuild of the current release up to its candidate."""
        run_id = open_run(source="synthea", input_folder=None, vocabulary_folder=None)
        for step in steps("synthea"):
            if step.group not in ("gate", "publish") and step.name != "landing_gate":
                run_step(run_id, step.name)
        close_run(run_id, failed=False)
        return load_run(run_id)

    def candidate_tables(self, run: Run) -> dict[str, Any]:
        found = {}
        with connection(threads=1) as con:
            for table in cdm_tables():
                path = run.folder / "cdm" / f"{table.name}.parquet"
                digest = candidate_digest(con, table, [path] if path.exists() else [])
                found[table.name] = {"rows": digest.rows, "digest": str(digest)}
        return found

    def counted_anew(self, candidate: Run) -> Counts:
        """What the gate counts of a whole candidate, without the ledger; and what it keeps for later nights."""
        return _comparable(count_release(candidate, []), quality_folder(candidate))

    def maintained(self) -> Counts:
        """The same as it was maintained up to the current release."""
        run_id = current_run("synthea")
        assert run_id is not None
        kept = kept_with(run_id, PROFILE)
        assert kept is not None
        return _comparable(stored_results(run_id), kept.parent)

    def land(self, folder: Path, base_run: str) -> str:
        """Only land a drop on top of the state of another run; the id of the run that did it."""
        run_id = open_run(source="synthea", input_folder=str(folder), vocabulary_folder=None, is_drop=True)
        record(run_id, parameters=load_run(run_id).parameters | {"base_run": base_run})
        run_step(run_id, "land")
        close_run(run_id, failed=False)
        return run_id

    def build(self, base_run: str) -> Run:
        """Build and publish the state of a run that only landed."""
        run_id = open_run(source="synthea", input_folder=None, vocabulary_folder=str(demo_vocabulary_folder()))
        record(run_id, parameters=load_run(run_id).parameters | {"base_run": base_run})
        run_step(run_id, "land")
        record(run_id, parameters=load_run(run_id).parameters | {"base_run": None})
        run_steps(run_id, resume=True)
        return load_run(run_id)

    def adopt(self, vocabulary: Path) -> Run:
        """Load a bundle and adopt it."""
        loaded = load_version(vocabulary)
        run_id = open_run(
            source="synthea", input_folder=None, vocabulary_folder=None, vocabulary_id=loaded.vocabulary_id
        )
        run_steps(run_id)
        return load_run(run_id)

    def drop(self, folder: Path) -> Run:
        """A night's drop on top of the current release."""
        run_id = open_run(source="synthea", input_folder=str(folder), vocabulary_folder=None, is_drop=True)
        run_steps(run_id)
        return load_run(run_id)

    def backfill(self, night: str, persons_file: Path | None = None) -> Run:
        """A night brought again, as Airflow's backfill does it."""
        day = date.fromisoformat(night)
        chosen = {"persons_file": str(persons_file) if persons_file else None, **arguments_of_night("synthea", day)}
        run_id = open_run(source="synthea", **chosen)
        run_steps(run_id)
        return load_run(run_id)

    @property
    def engine(self) -> sqlalchemy.Engine:
        return engine(database(settings()))

    def query(self, sql: str) -> list[Any]:
        with self.engine.connect() as con:
            return [tuple(row) for row in con.exec_driver_sql(sql)]

    def execute(self, sql: str) -> None:
        with self.engine.begin() as con:
            con.exec_driver_sql(sql)

    def release_tables(self, run: Run) -> dict[str, Any]:
        [(tables,)] = self.query(f"SELECT tables FROM etl.release WHERE run_id = '{run.run_id}'")
        return dict(tables)

    def served_tables(self) -> dict[str, Any]:
        """Rows and digest of every table as readers see it now, in the form of `release_tables`."""
        found = {}
        with closing(open_session(database(settings()), "test")) as session, session, session.cursor() as cursor:
            for table in tables().values():
                if table.schema == "CDM":
                    digest = published_digest(cursor, table, "cdm")
                    found[table.name] = {"rows": digest.rows, "digest": str(digest)}
        return found

    def current_release(self) -> int | None:
        [(newest,)] = self.query("SELECT max(release_id) FROM etl.release WHERE withdrawn_at IS NULL")
        return newest  # type: ignore[no-any-return]

    def ledger(self, run: Run) -> dict[str, TableAccount]:
        return {account.table: account for account in table_accounts(self.engine, run)}


@contextmanager
def hospital_in(home: Path) -> Iterator[Hospital]:
    """A home as this process's CDMFLOW_HOME."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CDMFLOW_DATABASE_URL", "CDMFLOW_WORKERS", "CDMFLOW_MEMORY_LIMIT"):
            patch.delenv(name, raising=False)
        patch.setenv("CDMFLOW_HOME", str(home))
        yield Hospital(home)


@contextmanager
def new_hospital() -> Iterator[Hospital]:
    """A new home with its own embedded PostgreSQL, removed at the end."""
    home = make_home()
    try:
        with hospital_in(home) as running:
            yield running
    finally:
        remove_home(home)
