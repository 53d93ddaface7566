"""A live database as the source: another PostgreSQL, and SQLite. One snapshot, read only, then only what changed."""

import csv
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest
from tiny_hospital import TABLES, Hospital, write_tables, write_tiny_hospital

from etl.cdm import quoted
from etl.config import Settings
from etl.demo import demo_vocabulary_folder
from etl.errors import ContractError, DatabaseUnavailable, UsageError
from etl.land import extract_database, load_contract
from etl.pipeline.execute import run_steps
from etl.pipeline.runs import Run, load_run, open_run, settings
from etl.postgres import ensure_server

pytestmark = pytest.mark.integration

PASSWORD = "not-to-be-told"
CONTRACT = load_contract(settings(), "synthea")


class Source:
    """A hospital's database: text columns named as the contract names them, in another letter case."""

    def __init__(self, url: str, connect: Callable[[], object]) -> None:
        self.url, self.connect = url, connect

    def execute(self, *statements: str) -> None:
        connection = self.connect()
        for statement in statements:
            connection.cursor().execute(statement)  # type: ignore[attr-defined]
        connection.commit()  # type: ignore[attr-defined]
        connection.close()  # type: ignore[attr-defined]

    def fill(self, folder: Path) -> None:
        """The tables of these CSV files, replaced."""
        for path in sorted(folder.glob("*.csv")):
            with path.open(encoding="utf-8", newline="") as lines:
                names, *rows = csv.reader(lines)
            table = path.stem
            columns = ", ".join(f"{quoted(name.lower())} text" for name in names)
            values = [", ".join("NULL" if value == "" else f"'{value}'" for value in row) for row in rows]
            self.execute(
                f"DROP TABLE IF EXISTS {table}",
                f"CREATE TABLE {table} ({columns})",
                *(f"INSERT INTO {table} VALUES ({row})" for row in values),
            )


@pytest.fixture
def postgres(new_home: Callable[[], Settings]) -> Source:
    """A second server, as a hospital has it."""
    found = ensure_server(new_home())
    return Source(
        found.etl_url, lambda: psycopg2.connect(found.etl_url.replace("+psycopg2", ""), options="-c search_path=public")
    )


@pytest.fixture
def sqlite(tmp_path: Path) -> Source:
    return Source(f"sqlite:///{tmp_path / 'hospital.db'}", lambda: sqlite3.connect(tmp_path / "hospital.db"))


@pytest.fixture(params=["postgres", "sqlite"])
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    found: Source = request.getfixturevalue(request.param)
    monkeypatch.setenv("CDMFLOW_SOURCE_URL", found.url)
    yield found


def live(vocabulary: bool = False) -> Run:
    chosen = str(demo_vocabulary_folder()) if vocabulary else None
    run_id = open_run(source="synthea", input_folder=None, vocabulary_folder=chosen, is_live=True)
    run_steps(run_id)
    return load_run(run_id)


def test_a_live_database_gives_what_its_tables_as_files_give(own: Hospital, source: Source, tmp_path: Path) -> None:
    source.fill(write_tiny_hospital(tmp_path / "monday"))
    first = live(vocabulary=True)
    assert first.scope == "all"
    assert own.release_tables(own.run(tmp_path / "monday")) == own.release_tables(first)


def test_the_next_night_makes_only_the_persons_again_whose_rows_changed(
    own: Hospital, source: Source, tmp_path: Path
) -> None:
    source.fill(write_tiny_hospital(tmp_path / "monday"))
    live(vocabulary=True)
    assert live().status == "unchanged"
    corrected = [TABLES["conditions"][0], TABLES["conditions"][1] | {"CODE": "44054006"}]
    source.fill(write_tables(tmp_path / "tuesday", {"conditions": corrected}))
    night = live()
    assert (night.status, night.scope) == ("published", "persons")
    assert (night.folder / "scope/person_id.txt").read_text() == "2\n"
    assert own.release_tables(own.run(None)) == own.release_tables(night)
    assert not list((own.home / "lake/extract").iterdir())


def test_all_tables_are_read_as_of_one_moment(source: Source, tmp_path: Path) -> None:
    """Whoever commits while the tables are read is not seen: neither his new patient nor the patient's records."""
    source.fill(write_tiny_hospital(tmp_path / "monday"))
    changed: list[str] = []

    def commit_meanwhile(table: str, _: int) -> None:
        if not changed:
            changed.append(table)
            if source.url.startswith("sqlite"):
                with pytest.raises(sqlite3.OperationalError, match="locked"):
                    write()
            else:
                write()

    def write() -> None:
        source.execute(
            "INSERT INTO patients (id, birthdate) VALUES ('p9', '1990-01-01')",
            "INSERT INTO observations (patient, date, code) VALUES ('p9', '2024-01-01', '4548-4')",
        )

    if source.url.startswith("sqlite"):
        source.connect = lambda: sqlite3.connect(source.url.removeprefix("sqlite:///"), timeout=0.1)
    extract_database(source.url, CONTRACT, tmp_path / "out", workers=1, progress=commit_meanwhile)
    assert changed
    told = "".join(path.read_text() for path in (tmp_path / "out").glob("*.csv"))
    assert "p1" in told
    assert "p9" not in told


def test_of_a_table_with_a_watermark_only_the_newest_rows_are_read(source: Source, tmp_path: Path) -> None:
    source.fill(write_tiny_hospital(tmp_path / "monday"))
    watched = replace(CONTRACT.tables["encounters"], change="watermark", watermark="start")
    contract = replace(CONTRACT, tables=CONTRACT.tables | {"encounters": watched})
    extract_database(source.url, contract, tmp_path / "all", since={"encounters": None})
    extract_database(source.url, contract, tmp_path / "new", since={"encounters": "2024-04-01T10:00:00Z"})  # type: ignore[dict-item]
    assert len((tmp_path / "all/encounters.csv").read_text().splitlines()) == 4
    assert len((tmp_path / "new/encounters.csv").read_text().splitlines()) == 3


def test_a_database_that_does_not_fit_the_contract_is_refused_before_anything_is_read(
    own: Hospital, source: Source, tmp_path: Path
) -> None:
    source.fill(write_tiny_hospital(tmp_path / "monday"))
    source.execute("DROP TABLE patients", "ALTER TABLE encounters RENAME COLUMN start TO begun")
    with pytest.raises(ContractError, match="the table patients is missing; encounters has no column START"):
        extract_database(source.url, CONTRACT, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
    with pytest.raises(ContractError):
        live(vocabulary=True)
    assert own.current_release() is None


def test_values_of_every_type_come_as_the_contract_writes_them(postgres: Source, tmp_path: Path) -> None:
    postgres.execute(
        "CREATE TABLE patients (id text, birthdate date)",
        "CREATE TABLE encounters (id text, start timestamptz, stop timestamp, patient text, base_encounter_cost "
        "float8, total_claim_cost numeric, payer_coverage real, organization text, provider text, encounterclass text, "
        "code text, reasoncode text)",
        "INSERT INTO encounters VALUES ('e,\"1\n', '2024-01-01 09:00+09', '2024-01-01 10:00', 'p1', 0.1, 1e3, 2.5)",
    )
    contract = replace(CONTRACT, tables={"encounters": CONTRACT.tables["encounters"]})
    extract_database(postgres.url, contract, tmp_path / "out")
    with (tmp_path / "out/encounters.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    assert {name: row[name] for name in ("Id", "START", "STOP", "BASE_ENCOUNTER_COST", "TOTAL_CLAIM_COST")} == {
        "Id": 'e,"1\n', "START": "2024-01-01 00:00:00+00", "STOP": "2024-01-01 10:00:00", "BASE_ENCOUNTER_COST": "0.1",
        "TOTAL_CLAIM_COST": "1000",
    }  # fmt: skip


def test_a_relation_with_a_schema_is_found_and_a_view_is_as_good_as_a_table(postgres: Source, tmp_path: Path) -> None:
    postgres.execute(
        "CREATE SCHEMA ehr", "CREATE TABLE ehr.everybody (id text, birthdate date)",
        "INSERT INTO ehr.everybody VALUES ('p1', '1990-01-01')",
        "CREATE VIEW ehr.v_patients AS SELECT id, birthdate, NULL AS deathdate, NULL AS race, NULL AS ethnicity, "
        "NULL AS gender, NULL AS city, NULL AS state, NULL AS county, NULL AS zip FROM ehr.everybody",
    )  # fmt: skip
    table = replace(CONTRACT.tables["patients"], relation="EHR.V_Patients".lower())
    extract_database(postgres.url, replace(CONTRACT, tables={"patients": table}), tmp_path / "out")
    assert "p1,1990-01-01" in (tmp_path / "out/patients.csv").read_text()


@pytest.mark.parametrize(
    ("url", "error", "said"),
    [
        (f"postgresql://nobody:{PASSWORD}@127.0.0.1:1/none", DatabaseUnavailable, r"nobody:\*\*\*@127.0.0.1:1/none"),
        ("no url at all", UsageError, "is not a database URL"),
        ("duckdb:///x", UsageError, "A database of the kind duckdb cannot be read consistently"),
    ],
)
def test_an_unreachable_or_unknown_database_is_told_without_its_password(
    url: str, error: type[Exception], said: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=said) as told:
        extract_database(url, CONTRACT, tmp_path / "out")
    assert PASSWORD not in str(told.value)


def test_whole_rows_that_are_appended_to_cannot_be_read_every_night(sqlite: Source, tmp_path: Path) -> None:
    sqlite.fill(write_tiny_hospital(tmp_path / "monday"))
    appended = replace(CONTRACT.tables["conditions"], change="append")
    with pytest.raises(ContractError, match="conditions is appended to and has no key"):
        extract_database(
            sqlite.url, replace(CONTRACT, tables=CONTRACT.tables | {"conditions": appended}), tmp_path / "o"
        )


def test_without_a_url_a_live_run_says_what_is_missing(own: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CDMFLOW_SOURCE_URL", raising=False)
    with pytest.raises(UsageError, match="CDMFLOW_SOURCE_URL is not set"):
        live(vocabulary=True)
