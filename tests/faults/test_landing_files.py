"""Broken files: each has its clear error, and nothing of it is landed. No error shows a value of a row."""

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from landing_helpers import HEADER, Clinic, csv, make_contract, rows, stays

from etl.config import settings
from etl.errors import CdmflowError, ContractError, UsageError
from etl.land import land_folder
from etl.postgres import Database
from etl.state import connect, create_tables

pytestmark = pytest.mark.faults

CANARY = "Canary-Quimby-77"


@pytest.fixture
def clinic(home: Path, fresh_database: Database, tmp_path: Path) -> Clinic:
    engine = connect(fresh_database.etl_url)
    create_tables(engine)
    return Clinic(settings(), engine, make_contract(tmp_path), tmp_path)


def refused(clinic: Clinic, files: dict[str, str | bytes], kind: type[CdmflowError] = ContractError) -> str:
    """The message of a refused landing, after checking that nothing of it is left and no value is in it."""
    with pytest.raises(kind) as error:
        clinic.land(files)
    assert clinic.batches() == 0
    assert clinic.parquet_files() == []
    assert not list(clinic.settings.landing_dir.rglob(".*"))
    assert CANARY not in str(error.value)
    assert error.value.__cause__ is None
    return str(error.value)


def test_a_missing_column_is_named_with_the_columns_there_are(clinic: Clinic) -> None:
    message = refused(clinic, {"stays.csv": f"Id,DAY,PATIENT,COST,EXTRA\ns1,2020-01-01,{CANARY},1,2\n"})
    assert message == (
        "stays.csv has no column START, BEDS (it has: Id, DAY, PATIENT, COST, EXTRA).\n"
        "Nothing of this batch was loaded; the published release stays as it is.\n"
        "If the export changed, adapt sources/clinic/tables.yml; if the file is wrong, drop a new one."
    )


def test_a_missing_column_in_one_file_keeps_the_others_from_being_loaded(clinic: Clinic) -> None:
    message = refused(clinic, {"stays.csv": csv(*stays(2)), "remarks.csv": "TEXT\na\n"})
    assert "remarks.csv has no column NUMBER" in message


def test_the_faults_of_all_headers_are_told_at_once(clinic: Clinic) -> None:
    message = refused(clinic, {"stays.csv": "Id,START\n", "remarks.csv": "TEXT\na\n"})
    assert "stays.csv has no column DAY" in message
    assert "remarks.csv has no column NUMBER" in message


def test_a_file_without_a_header_shows_none_of_its_values(clinic: Clinic) -> None:
    message = refused(clinic, {"stays.csv": f"s1,2020-01-02,,{CANARY},1,1,\n"})
    assert "7 columns, not all of them with a name; is the first line the header?" in message


def test_a_column_that_comes_twice_is_refused(clinic: Clinic) -> None:
    message = refused(clinic, {"stays.csv": csv(header=HEADER + ",id")})
    assert "stays.csv has the column Id 2 times." in message


def test_a_retyped_column_fails_the_batch_with_its_name_and_counts(clinic: Clinic) -> None:
    bad = [f"s{n},2020-01-02,,{CANARY},many,1," for n in range(50)]
    message = refused(clinic, {"stays.csv": csv(*bad)})
    assert "stays.csv: 50 of 50 rows do not fit the contract (BEDS is not an integer: 50); 5 may." in message


def test_a_retyped_column_fails_a_small_file_too(clinic: Clinic) -> None:
    message = refused(clinic, {"stays.csv": csv("s1,2020-01-02,,p1,many,1,", "s2,2020-01-02,,p1,few,1,")})
    assert "2 of 2 rows" in message


def test_too_many_malformed_rows_fail_the_batch(clinic: Clinic) -> None:
    message = refused(clinic, {"stays.csv": csv(*stays(10), *["x,2020"] * 9)})
    assert "9 of 19 rows do not fit the contract (too few fields: 9); 3 may." in message


def test_too_many_repeated_keys_fail_the_batch(clinic: Clinic) -> None:
    message = refused(clinic, {"stays.csv": csv(*stays(8), *stays(8))})
    assert "8 of 16 rows do not fit the contract (duplicate row: 8); 3 may." in message


@pytest.mark.parametrize("kept", [1, 5, 30, -9])
def test_a_truncated_gzip_is_refused_and_nothing_is_landed(clinic: Clinic, kept: int) -> None:
    packed = gzip.compress(csv(*stays(300)).encode())
    assert "stays.csv.gz is a truncated gzip" in refused(clinic, {"stays.csv.gz": packed[:2] + packed[2:kept]})


def test_a_large_gzip_cut_in_the_middle_is_refused_after_its_sound_header(clinic: Clinic) -> None:
    packed = gzip.compress(csv(*stays(60_000)).encode(), compresslevel=1)
    message = refused(clinic, {"stays.csv.gz": packed[: len(packed) - 1000]})
    assert "truncated gzip" in message


def test_a_damaged_gzip_is_refused(clinic: Clinic) -> None:
    packed = bytearray(gzip.compress(csv(*stays(300)).encode()))
    packed[len(packed) // 2] ^= 0xFF
    assert "is not a sound gzip" in refused(clinic, {"stays.csv.gz": bytes(packed)})


def test_a_file_that_is_no_gzip_but_says_so_is_refused(clinic: Clinic) -> None:
    folder = clinic.folder({})
    (folder / "stays.csv.gz").write_text(csv(*stays(3)))
    with pytest.raises(ContractError, match="not a sound gzip"):
        land_folder(clinic.settings, clinic.engine, clinic.contract, folder, run_id="test")


@pytest.mark.parametrize("name", ["stays.csv", "stays.csv.gz"])
def test_an_empty_file_is_refused(clinic: Clinic, name: str) -> None:
    assert f"{name} is empty: it has not even a header." in refused(clinic, {name: b""})


def test_a_blank_first_line_is_refused(clinic: Clinic) -> None:
    assert "The first line of stays.csv is blank" in refused(clinic, {"stays.csv": "\n" + csv(*stays(1))})


def test_a_missing_required_file_is_named(clinic: Clinic) -> None:
    assert "has no stays.csv (or .csv.gz)." in refused(clinic, {"remarks.csv": "TEXT,NUMBER\na,1\n"})


def test_a_missing_folder_is_a_mistake_in_the_command(clinic: Clinic) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        land_folder(clinic.settings, clinic.engine, clinic.contract, clinic.root / "nowhere", run_id="test")


def test_a_plain_and_a_packed_file_of_one_table_are_refused(clinic: Clinic) -> None:
    message = refused(clinic, {"stays.csv": csv(*stays(1)), "stays.csv.gz": csv(*stays(2))})
    assert "stays.csv and stays.csv.gz: only one can be the table stays" in message


@pytest.mark.parametrize("name", ["stays.csv", "stays.csv.gz"])
def test_bytes_of_another_encoding_are_refused_with_their_line(clinic: Clinic, name: str) -> None:
    content = csv(*stays(4)).encode() + f"s9,2020-01-02,,{CANARY},1,1,".encode() + "Übel\n".encode("latin-1")
    assert f"{name}, line 6: these bytes are not utf-8." in refused(clinic, {name: content})


def test_bytes_that_a_declared_encoding_does_not_know_are_refused_with_their_line(clinic: Clinic) -> None:
    tables = {name: replace(table, encoding="cp949") for name, table in clinic.contract.tables.items()}
    clinic.contract = replace(clinic.contract, tables=tables)
    content = csv(*stays(2)).encode() + b"s9,2020-01-02,,p1,1,1,\xff\xff\n"
    assert "stays.csv, line 4: these bytes are not cp949." in refused(clinic, {"stays.csv": content})


def test_a_character_cut_off_at_the_end_is_refused(clinic: Clinic) -> None:
    content = csv(*stays(2)).encode() + b"s9,2020-01-02,,p1,1,1,\xc3"
    assert "stays.csv, line 4: these bytes are not utf-8." in refused(clinic, {"stays.csv": content})


def test_line_ends_of_carriage_returns_alone_are_refused(clinic: Clinic) -> None:
    message = refused(clinic, {"stays.csv": csv(*stays(3), end="\r")})
    assert "end with a carriage return alone" in message


def test_no_value_of_a_bad_row_is_in_the_log(clinic: Clinic, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    result = clinic.land({"stays.csv": csv(*stays(20), f"{CANARY},2020-02-30,,{CANARY},1,1,{CANARY}", CANARY)})
    assert result.batches[0].rejected == 2
    assert CANARY not in caplog.text
    assert CANARY in str(rows(clinic.settings.rejects_dir / "clinic" / "stays" / "1.parquet"))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace("note 40", '"note 40'),
        lambda text: text.replace("note 40", 'no"te 40'),
        lambda text: text.replace("note 40", '"no"te 40'),
        lambda text: text.replace("note 40", '"note\n40'),
    ],
)
def test_a_lost_quote_costs_its_row_and_not_its_neighbours(clinic: Clinic, spoil: Callable[[str], str]) -> None:
    sound = [*stays(30), 's31,2020-01-02,,p1,1,1,"a\n""b"""', *stays(30, first=32), 's62,2020-01-02,,p1,1,1,"x, y"']
    landed = clinic.land({"stays.csv": spoil(csv(*sound))}).batches[0]
    assert landed.received == landed.landed + landed.rejected
    assert landed.landed >= 61
    assert rows(landed.path, "note")[30] == ('a\n"b"',)
    assert rows(landed.path, "note")[-1] == ("x, y",)
    assert [row[0] for row in rows(landed.path, "source_row_id")] == list(range(1, landed.landed + 1))
