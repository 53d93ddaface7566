"""Whole runs on real files: everything is accounted for, nothing depends on chance, nobody's name gets out."""

import csv
import gzip
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_hospital import TABLES, Hospital, new_hospital, write_tiny_hospital

from etl.engine import count_rows
from etl.errors import GateRefused
from etl.pipeline.models import models
from etl.pipeline.runs import Run

pytestmark = pytest.mark.integration


def records_in(folder: Path) -> dict[str, int]:
    """Data records per source file, counted by Python's own CSV reader."""
    counts = {}
    for path in folder.iterdir():
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        counts[path.name.split(".")[0]] = sum(1 for _ in csv.reader(io.StringIO(content.decode(), newline=""))) - 1
    return counts


@pytest.fixture(scope="module")
def small() -> Iterator[Hospital]:
    """Another home: the tiny hospital after that of 27 patients would be refused as a loss of nearly all rows."""
    with new_hospital() as running:
        yield running


@pytest.fixture(scope="module")
def run_27(hospital: Hospital, shared_data: Path) -> Run:
    return hospital.run(shared_data / "synthea_27/source", shared_data / "vocabulary_synthea")


def test_27_real_patients_become_27_persons(hospital: Hospital, run_27: Run) -> None:
    assert run_27.status == "published"
    assert hospital.query("SELECT count(*) FROM cdm.person") == [(27,)]


def test_every_row_of_every_real_file_is_accounted_for(hospital: Hospital, run_27: Run, shared_data: Path) -> None:
    ledger = hospital.ledger(run_27)
    received = {table: account.received for table, account in ledger.items()}
    assert received.pop("patient_merges") == 0, "Synthea has none"
    assert received == records_in(shared_data / "synthea_27/source")
    assert len(received) == 18
    assert [table for table, account in ledger.items() if not account.adds_up] == []


def test_the_release_holds_what_the_candidate_held(hospital: Hospital, run_27: Run) -> None:
    tables = hospital.release_tables(run_27)
    for model in models("synthea").values():
        if model.name.startswith("cdm."):
            table = model.name.removeprefix("cdm.")
            rows = count_rows(model.outputs(run_27.folder))
            assert hospital.query(f"SELECT count(*) FROM cdm.{table}") == [(rows,)], table
            assert tables[table]["rows"] == rows


def test_unmapped_codes_stay_visible_as_concept_zero(hospital: Hospital, run_27: Run) -> None:
    """QOLS, QALY and DALY are no LOINC codes."""
    [(kept,)] = hospital.query(
        "SELECT count(*) FROM cdm.measurement WHERE measurement_concept_id = 0 AND measurement_source_value = 'QOLS'"
    )
    assert kept > 0


def test_running_twice_gives_the_same_ids_and_digests(hospital: Hospital, run_27: Run, shared_data: Path) -> None:
    again = hospital.run(shared_data / "synthea_27/source", shared_data / "vocabulary_synthea")
    assert again.run_id != run_27.run_id
    assert hospital.release_tables(again) == hospital.release_tables(run_27)


@pytest.mark.parametrize("workers", [1, 2])
def test_another_home_and_another_number_of_workers_give_the_same_digests(
    workers: int, hospital: Hospital, run_27: Run, shared_data: Path
) -> None:
    expected = hospital.release_tables(run_27)
    with new_hospital() as other:
        run = other.run(shared_data / "synthea_27/source", shared_data / "vocabulary_synthea", workers=workers)
        assert other.release_tables(run) == expected


def test_another_hospitals_files_are_refused_as_a_drift(hospital: Hospital, run_27: Run, shared_data: Path) -> None:
    with pytest.raises(GateRefused):
        hospital.run(shared_data / "synthea_109/source", shared_data / "vocabulary_synthea")
    assert hospital.query("SELECT count(*) FROM cdm.person") == [(27,)]


def test_missing_files_are_named_and_a_release_is_made_all_the_same(own: Hospital, shared_data: Path) -> None:
    """synthea_109 lacks observations, procedures, claims and claims_transactions."""
    run = own.run(shared_data / "synthea_109/source", shared_data / "vocabulary_synthea")
    assert run.status == "published"
    ledger = own.ledger(run)
    assert {table for table, account in ledger.items() if account.received} == set(
        records_in(shared_data / "synthea_109/source")
    )
    assert [table for table, account in ledger.items() if not account.adds_up] == []
    [(message,)] = own.query(f"SELECT message FROM etl.run_step WHERE run_id = '{run.run_id}' AND step = 'land'")
    for missing in ("observations", "procedures", "claims", "claims_transactions"):
        assert missing in message


def test_a_newer_snapshot_replaces_the_older_and_known_rows_keep_their_ids(small: Hospital, tmp_path: Path) -> None:
    first = small.run(write_tiny_hospital(tmp_path / "monday"))
    ids = small.query("SELECT condition_occurrence_id FROM cdm.condition_occurrence ORDER BY 1")
    known = dict(small.query("SELECT person_source_value, person_id FROM cdm.person"))
    reversed_rows = {"conditions": TABLES["conditions"][::-1], "patients": TABLES["patients"][:2]}
    small.run(write_tiny_hospital(tmp_path / "tuesday", reversed_rows))
    assert first.status == "published"
    assert small.query("SELECT condition_occurrence_id FROM cdm.condition_occurrence ORDER BY 1") == ids
    left = dict(small.query("SELECT person_source_value, person_id FROM cdm.person"))
    assert left == {person: known[person] for person in ("p1", "p2")}


CANARIES = ("Zyxelda", "Quorvath", "999-87-6543", "77 Canary Lane", "S99CANARY", "X77CANARYX")


def test_names_addresses_and_numbers_of_patients_get_nowhere(
    small: Hospital, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = write_tiny_hospital(tmp_path / "canary")
    header = (
        "Id,BIRTHDATE,DEATHDATE,SSN,DRIVERS,PASSPORT,FIRST,LAST,RACE,ETHNICITY,GENDER,ADDRESS,CITY,STATE,COUNTY,ZIP\n"
    )
    line = (
        "p1,1960-03-01,,999-87-6543,S99CANARY,X77CANARYX,Zyxelda,Quorvath,white,nonhispanic,F,"
        "77 Canary Lane,Seoul,Seoul,,03080\n"
    )
    broken = line.replace("1960-03-01", "1960-02-31").replace("p1", "p9")
    (folder / "patients.csv").write_text(
        header + line + broken + line.replace("p1,", "p2,") + line.replace("p1,", "p3,")
    )
    with caplog.at_level("DEBUG"):
        run = small.run(folder)
    assert run.status == "published"
    told = caplog.text + "".join(capfd.readouterr())
    found = [canary for canary in CANARIES if canary in told]
    kept_on_purpose = small.home / "lake" / "rejects"
    for path in small.home.rglob("*"):
        if path.is_file() and kept_on_purpose not in path.parents and "postgres" not in path.parts:
            content = path.read_bytes()
            found += [f"{canary} in {path}" for canary in CANARIES if canary.encode() in content]
    for schema in ("cdm", "results", "etl"):
        for (table,) in small.query(
            f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{schema}'"
        ):
            text = " ".join(str(row) for row in small.query(f'SELECT t::text FROM {schema}."{table}" AS t'))
            found += [f"{canary} in {schema}.{table}" for canary in CANARIES if canary in text]
    assert found == []
    assert any(CANARIES[0].encode() in path.read_bytes() for path in kept_on_purpose.rglob("*.parquet"))


def test_files_of_old_runs_are_removed_and_their_releases_stay(small: Hospital, tmp_path: Path) -> None:
    runs = [small.run(write_tiny_hospital(tmp_path / "night")) for _ in range(5)]
    kept = {path.name for path in (small.home / "lake/runs").iterdir()}
    assert {run.run_id for run in runs[-3:]} <= kept
    assert runs[0].run_id not in kept
    reports = [small.home / "releases" / str(n) for (n,) in small.query("SELECT release_id FROM etl.release")]
    assert reports
    assert all((report / "report/candidate/index.html").exists() for report in reports)
