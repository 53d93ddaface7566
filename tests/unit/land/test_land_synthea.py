"""Both layouts of Synthea's export, as they are: every row of every file is landed."""

import csv
import gzip
import io
from pathlib import Path

import pytest
from landing_helpers import Clinic, rows

from etl.land import business_date, current_tables, land_folder, load_contract


def records_of(path: Path) -> int:
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    return sum(1 for _ in csv.reader(io.StringIO(text))) - 1


@pytest.mark.parametrize(
    ("name", "missing", "newest"),
    [
        ("synthea_27", (), "2024-02-02"),
        (
            "synthea_109",
            ("procedures.csv", "observations.csv", "claims.csv", "claims_transactions.csv"),
            "2025-09-22",
        ),
    ],
)
def test_every_row_of_every_file_is_landed(
    clinic: Clinic, shared_data: Path, name: str, missing: tuple[str, ...], newest: str
) -> None:
    contract = load_contract(clinic.settings, "synthea")
    folder = shared_data / name / "source"
    result = land_folder(clinic.settings, clinic.engine, contract, folder, run_id="real")
    files = {path.name.split(".")[0]: records_of(path) for path in folder.iterdir()}
    assert {batch.table: batch.landed for batch in result.batches} == files
    assert result.rejected == {}
    assert result.missing_optional == missing
    assert all(stem in result.missing_message for stem in missing)
    assert str(business_date(clinic.engine, result.batch_ids)) == newest
    tables = current_tables(clinic.settings, clinic.engine, contract, result.batch_ids, clinic.root / "run")
    assert sorted(tables) == sorted(contract.tables)
    for table, (path,) in tables.items():
        numbers = [row[0] for row in rows(path, "source_row_id")]
        assert numbers == list(range(1, files.get(table, 0) + 1))


def test_the_names_of_both_layouts_land_in_the_same_columns(clinic: Clinic, shared_data: Path) -> None:
    contract = load_contract(clinic.settings, "synthea")
    for name in ("synthea_27", "synthea_109"):
        folder = shared_data / name / "source"
        result = land_folder(clinic.settings, clinic.engine, contract, folder, run_id=name)
        path = {batch.table: batch.path for batch in result.batches}
        filled = rows(path["payer_transitions"], "count(start_date), count(end_date), count(plan_ownership), count(*)")
        assert filled[0][0] == filled[0][1] == filled[0][3]
        assert filled[0][2] > 0
        systems = {row[0] for row in rows(path["conditions"], "DISTINCT system")}
        assert systems == ({None} if name == "synthea_27" else {"SNOMED-CT", "ICD10"}), systems


def test_no_name_number_or_address_of_a_patient_is_in_the_lake(clinic: Clinic, shared_data: Path) -> None:
    contract = load_contract(clinic.settings, "synthea")
    folder = shared_data / "synthea_109" / "source"
    result = land_folder(clinic.settings, clinic.engine, contract, folder, run_id="pii")
    landed = next(batch for batch in result.batches if batch.table == "patients")
    text = str(rows(landed.path))
    with (folder / "patients.csv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            for column in ("SSN", "PASSPORT", "FIRST", "LAST", "ADDRESS", "LAT", "LON"):
                assert not row[column] or f"'{row[column]}'" not in text
