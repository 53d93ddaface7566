"""The demo hospital is plausible, complete and the same every time."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from etl.demo import DemoManifest, demo_vocabulary_folder, write_hospital
from etl.demo.faults import UNKNOWN_PATIENT
from etl.demo.files import FILES

PATIENTS = 400
WITH_PATIENT = [name for name in FILES if name not in ("organizations", "payers", "providers", "patients")]
WITH_ENCOUNTER = {
    **{name: "ENCOUNTER" for name in WITH_PATIENT if not name.startswith(("claims", "payer", "encounters"))},
    "claims": "APPOINTMENTID",
    "claims_transactions": "APPOINTMENTID",
}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> DemoManifest:
    return write_hospital(tmp_path_factory.mktemp("hospital"), PATIENTS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("hospital")
    write_hospital(made, PATIENTS)
    return made


@pytest.fixture(scope="module")
def hospital(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The well-formed rows of all files as tables of text."""
    con = duckdb.connect()
    for name in FILES:
        con.execute(
            f"CREATE TABLE {name} AS SELECT DISTINCT * FROM read_csv('{folder / name}.csv', all_varchar = true,"
            " header = true, quote = '', escape = '', delim = ',', ignore_errors = true)"
        )
    yield con
    con.close()


def one(con: duckdb.DuckDBPyConnection, sql: str) -> object:
    row = con.execute(sql).fetchone()
    return row[0] if row else None


def checksums(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    first, again, other = (tmp_path / name for name in ("first", "again", "other"))
    write_hospital(first, 120, seed=1)
    write_hospital(again, 120, seed=1)
    write_hospital(other, 120, seed=2)
    assert checksums(first) == checksums(again)
    assert checksums(first)["patients.csv"] != checksums(other)["patients.csv"]


def test_the_headers_are_those_of_synthea_3_3(folder: Path, shared_data: Path) -> None:
    compared = 0
    for name in FILES:
        ours = (folder / f"{name}.csv").open(encoding="utf-8").readline().rstrip("\n")
        theirs = header_of(shared_data / "synthea_109" / "source" / name)
        if theirs:
            compared += 1
            assert ours == theirs, name
    assert compared == 14


def test_the_headers_that_did_not_change_are_those_of_synthea_3_0(folder: Path, shared_data: Path) -> None:
    for name in ("claims", "claims_transactions", "observations"):
        ours = (folder / f"{name}.csv").open(encoding="utf-8").readline().rstrip("\n")
        assert ours == header_of(shared_data / "synthea_27" / "source" / name)


def header_of(stem: Path) -> str | None:
    plain, packed = stem.with_name(f"{stem.name}.csv"), stem.with_name(f"{stem.name}.csv.gz")
    if plain.is_file():
        return plain.open(encoding="utf-8").readline().rstrip("\r\n")
    if packed.is_file():
        with gzip.open(packed, "rt", encoding="utf-8") as lines:
            return lines.readline().rstrip("\r\n")
    return None


def test_the_manifest_counts_the_lines_of_every_file(folder: Path, manifest: DemoManifest) -> None:
    assert set(manifest.rows) == set(FILES)
    for name in FILES:
        with (folder / f"{name}.csv").open("rb") as lines:
            assert sum(1 for _ in lines) - 1 == manifest.rows[name], name
    assert json.loads((folder / "manifest.json").read_text())["rows"] == manifest.rows


def test_broken_rows_are_few_and_as_the_manifest_says(folder: Path, manifest: DemoManifest) -> None:
    for name, kinds in manifest.malformed.items():
        assert sum(kinds.values()) < 0.005 * manifest.rows[name]
        lines = (folder / f"{name}.csv").read_text(encoding="utf-8").splitlines()
        width = lines[0].count(",")
        assert sum(line.count(",") != width for line in lines) == kinds.get("too_few_fields", 0)
        assert sum(",2023-02-30" in f",{line}" for line in lines) == kinds.get("impossible_date", 0)
        assert sum(UNKNOWN_PATIENT in line for line in lines) == kinds.get("patient_unknown", 0)
        assert len(lines) - len(set(lines)) == kinds.get("duplicate_key", 0)
    assert set(manifest.malformed) == {"conditions", "encounters", "medications", "observations", "procedures"}


def test_a_handful_of_patients_comes_without_broken_rows(tmp_path: Path) -> None:
    assert write_hospital(tmp_path, 20).malformed == {}


@pytest.mark.parametrize("name", WITH_PATIENT)
def test_every_row_names_a_patient_that_exists(hospital: duckdb.DuckDBPyConnection, name: str) -> None:
    column = "PATIENTID" if name.startswith("claims") else "PATIENT"
    strays = f"{column} NOT IN (SELECT Id FROM patients) AND {column} <> '{UNKNOWN_PATIENT}'"
    assert one(hospital, f"SELECT count(*) FROM {name} WHERE {strays}") == 0
    assert one(hospital, f"SELECT count(*) FROM {name}") != 0


@pytest.mark.parametrize(("name", "column"), WITH_ENCOUNTER.items())
def test_every_row_names_an_encounter_of_its_patient(
    hospital: duckdb.DuckDBPyConnection, name: str, column: str
) -> None:
    patient = "PATIENTID" if name.startswith("claims") else "PATIENT"
    assert (
        one(
            hospital,
            f"SELECT count(*) FROM {name} AS r"
            f" ANTI JOIN encounters AS e ON r.{column} = e.Id AND r.{patient} = e.PATIENT"
            f" WHERE r.{patient} <> '{UNKNOWN_PATIENT}'",
        )
        == 0
    )


def test_references_between_institutions_hold(hospital: duckdb.DuckDBPyConnection) -> None:
    for column, table in (("PROVIDER", "providers"), ("ORGANIZATION", "organizations"), ("PAYER", "payers")):
        assert one(hospital, f"SELECT count(*) FROM encounters WHERE {column} NOT IN (SELECT Id FROM {table})") == 0
    assert one(hospital, "SELECT count(*) FROM claims_transactions WHERE CLAIMID NOT IN (SELECT Id FROM claims)") == 0
    assert one(hospital, "SELECT count(*) FROM providers WHERE ORGANIZATION NOT IN (SELECT Id FROM organizations)") == 0


@pytest.mark.parametrize(
    ("name", "start", "stop"),
    [
        ("encounters", "START", "STOP"),
        ("conditions", "START", "STOP"),
        ("medications", "START", "STOP"),
        ("procedures", "START", "STOP"),
        ("devices", "START", "STOP"),
        ("careplans", "START", "STOP"),
        ("observations", "DATE", "DATE"),
        ("immunizations", "DATE", "DATE"),
    ],
)
def test_everything_happens_within_life_and_before_the_cutoff(
    hospital: duckdb.DuckDBPyConnection, name: str, start: str, stop: str
) -> None:
    outside = one(
        hospital,
        f"SELECT count(*) FROM {name} AS r JOIN patients AS p ON r.PATIENT = p.Id"
        f" WHERE r.{start} NOT LIKE '2023-02-30%' AND (r.{start} < p.BIRTHDATE OR left(r.{start}, 10) > '2026-06-30'"
        f" OR left(coalesce(r.{stop}, ''), 10) > coalesce(p.DEATHDATE, '2026-06-30')"
        f" OR left(r.{start}, 10) > p.DEATHDATE OR coalesce(r.{stop}, '9') < r.{start})",
    )
    assert outside == 0


@pytest.mark.parametrize("name", ["observations", "procedures", "immunizations"])
def test_events_lie_within_their_encounter(hospital: duckdb.DuckDBPyConnection, name: str) -> None:
    at = "START" if name == "procedures" else "DATE"
    outside = one(
        hospital,
        f"SELECT count(*) FROM {name} AS r JOIN encounters AS e ON r.ENCOUNTER = e.Id"
        f" WHERE r.{at} NOT LIKE '2023-02-30%' AND (r.{at} < e.START OR r.{at} > coalesce(e.STOP, '2026-07'))",
    )
    assert outside == 0


def test_histories_have_everything_that_a_pipeline_must_cope_with(hospital: duckdb.DuckDBPyConnection) -> None:
    classes = {row[0] for row in hospital.execute("SELECT DISTINCT ENCOUNTERCLASS FROM encounters").fetchall()}
    assert classes == {
        *("wellness", "ambulatory", "outpatient", "emergency", "urgentcare"),
        *("inpatient", "snf", "hospice", "home", "virtual"),
    }
    deaths = one(hospital, "SELECT count(DEATHDATE) FROM patients")
    assert isinstance(deaths, int)
    assert 0.04 * PATIENTS < deaths < 0.13 * PATIENTS
    assert one(hospital, "SELECT count(*) FROM conditions WHERE STOP IS NULL") != 0
    assert one(hospital, "SELECT count(*) FROM encounters WHERE STOP IS NULL AND ENCOUNTERCLASS = 'inpatient'") != 0
    assert one(hospital, "SELECT count(*) FROM encounters WHERE CODE = '308646001' AND REASONCODE IS NOT NULL") != 0
    assert one(hospital, "SELECT count(*) FROM conditions WHERE CODE = 'LOCAL-123'") != 0
    assert one(hospital, "SELECT count(*) FROM conditions WHERE SYSTEM = 'ICD10CM'") != 0
    assert one(hospital, "SELECT count(*) FROM observations WHERE UNITS = 'null'") != 0
    overlapping = (
        "SELECT count(*) FROM encounters AS a JOIN encounters AS b ON a.PATIENT = b.PATIENT AND a.Id <> b.Id"
        " WHERE a.ENCOUNTERCLASS = 'inpatient' AND b.ENCOUNTERCLASS = '{other}' AND b.START {relation}"
    )
    transfers = overlapping.format(other="inpatient", relation="> a.START AND b.START < a.STOP")
    admissions = overlapping.format(other="emergency", relation="< a.START AND b.STOP = a.START")
    assert one(hospital, transfers) != 0
    assert one(hospital, admissions) != 0


def test_volumes_per_patient_are_like_synthea(manifest: DemoManifest) -> None:
    low_high = {
        "encounters": (30, 45),
        "conditions": (7, 14),
        "medications": (12, 30),
        "observations": (90, 150),
        "procedures": (18, 35),
        "immunizations": (7, 13),
        "claims_transactions": (150, 300),
    }
    for name, (low, high) in low_high.items():
        assert low < manifest.rows[name] / PATIENTS < high, name


def test_most_codes_have_a_concept_and_a_few_have_none(hospital: duckdb.DuckDBPyConnection) -> None:
    concepts = demo_vocabulary_folder() / "CONCEPT.csv"
    hospital.execute(
        "CREATE OR REPLACE TABLE concept AS SELECT * FROM"
        f" read_csv('{concepts}', delim = '\t', quote = '', escape = '', header = true, all_varchar = true)"
    )
    for name in ("conditions", "medications", "procedures", "observations", "immunizations", "encounters"):
        share = one(hospital, f"SELECT avg(cast(CODE IN (SELECT concept_code FROM concept) AS double)) FROM {name}")
        assert isinstance(share, float)
        assert share > 0.97, name
