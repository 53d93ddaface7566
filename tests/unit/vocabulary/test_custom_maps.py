"""Custom maps in both layouts become one table."""

from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from etl.cdm import tables
from etl.engine import duckdb_type
from etl.errors import ContractError
from etl.vocabulary import custom_maps

LAYOUT = """\
source_code,source_concept_id,source_vocabulary_id,source_code_description,target_concept_id,target_vocabulary_id,valid_start_date,valid_end_date,invalid_reason
{score},0,Synthea units,score,44777566,UCUM,1970-01-01,2099-12-31,
"""
USAGI = """\
sourceCode,sourceName,sourceFrequency,matchScore,mappingStatus,conceptId,conceptName,domainId
LOCAL-1,"Sugar, in blood",10,0.9,APPROVED,3004501,Glucose,Measurement
LOCAL-2,Unclear,1,0.2,UNCHECKED,0,,
LOCAL-3,Gone,1,1.0,APPROVED,999999,,
"""


@pytest.fixture
def concepts(tmp_path: Path) -> Path:
    path = tmp_path / "concept.parquet"
    ids = pa.array([3004501, 44777566], pa.int32())
    pq.write_table(pa.table({"concept_id": ids, "vocabulary_id": ["LOINC", "UCUM"]}), path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "map"
    made.mkdir()
    (made / "units.csv").write_text(LAYOUT, encoding="utf-8-sig")
    (made / "lab_codes.csv").write_text(USAGI, encoding="utf-8")
    return made


def test_both_layouts_are_read_and_only_approved_rows_count(
    home: Path, folder: Path, tmp_path: Path, concepts: Path
) -> None:
    output = tmp_path / "out" / "source_to_concept_map.parquet"
    assert custom_maps(folder, output, concepts) == 2
    found = duckdb.sql(
        "SELECT source_code, source_vocabulary_id, target_concept_id, target_vocabulary_id, valid_end_date"
        f" FROM '{output}'"
    ).fetchall()
    assert found == [
        ("LOCAL-1", "lab_codes", 3004501, "LOINC", date(2099, 12, 31)),
        ("{score}", "Synthea units", 44777566, "UCUM", date(2099, 12, 31)),
    ]


def test_the_file_has_the_columns_of_the_cdm_even_without_a_map(home: Path, tmp_path: Path) -> None:
    output = tmp_path / "none.parquet"
    assert custom_maps(tmp_path / "no folder", output) == 0
    described = duckdb.sql(f"DESCRIBE SELECT * FROM '{output}'").fetchall()
    fields = tables()["source_to_concept_map"].fields
    assert [row[:2] for row in described] == [(field.name, duckdb_type(field.sql_type)) for field in fields]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("code;target\nA;1\n", r"bad\.csv, line 1: neither"),
        (LAYOUT.replace("44777566", "44x"), r"bad\.csv, line 2: a concept id is not an integer"),
        (LAYOUT.replace("2099-12-31", "2099-02-30"), r"bad\.csv, line 2: a date"),
        (USAGI.replace("LOCAL-1", ""), r"bad\.csv, line 2: column sourceCode is empty"),
        (LAYOUT.replace("1970-01-01", "2100-01-01"), r"bad\.csv, line 2: valid_end_date lies before"),
        (LAYOUT.replace("Synthea units", "Synthea units of measurement"), r"bad\.csv, line 2: a source vocabulary has"),
    ],
)
def test_a_broken_map_names_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ContractError, match=message):
        custom_maps(tmp_path, tmp_path / "out.parquet")


def written(folder: Path, concepts: Path, *columns: str) -> list[tuple[object, ...]]:
    output = folder.parent / "out.parquet"
    custom_maps(folder, output, concepts)
    return duckdb.sql(f"SELECT {', '.join(columns)} FROM '{output}' ORDER BY ALL").fetchall()


def test_effective_dates_and_withdrawals_pass_through(home: Path, tmp_path: Path, concepts: Path) -> None:
    made = tmp_path / "map"
    made.mkdir()
    header = LAYOUT.splitlines()[0]
    rows = [
        "A,0,Local,,3004501,LOINC,20100101,20141231,",
        "A,0,Local,,44777566,UCUM,2015-01-01,2099-12-31,",
        "A,0,Local,,44777566,UCUM,,,D",
    ]
    (made / "dated.csv").write_text("\n".join([header, *rows]), encoding="utf-8")
    assert written(made, concepts, "target_concept_id", "valid_start_date", "valid_end_date", "invalid_reason") == [
        (3004501, date(2010, 1, 1), date(2014, 12, 31), None),
        (44777566, date(1970, 1, 1), date(2099, 12, 31), "D"),
        (44777566, date(2015, 1, 1), date(2099, 12, 31), None),
    ]


def test_several_rows_of_a_code_are_several_targets_and_a_repeated_row_counts_once(
    home: Path, tmp_path: Path, concepts: Path
) -> None:
    made = tmp_path / "map"
    made.mkdir()
    header = LAYOUT.splitlines()[0]
    (made / "a.csv").write_text(f"{header}\nA,0,Local,one,3004501,,,,\nA,0,Local,one,44777566,,,,\n", encoding="utf-8")
    (made / "b.csv").write_text(f"{header}\nA,0,Local,the same in other words,3004501,,,,\n", encoding="utf-8")
    assert written(made, concepts, "source_code", "target_concept_id") == [("A", 3004501), ("A", 44777566)]


def test_of_a_usagi_export_only_approved_mappings_of_the_event_itself_count(
    home: Path, tmp_path: Path, concepts: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = tmp_path / "map"
    made.mkdir()
    statuses = ["APPROVED", "UNCHECKED", "AUTO_MAPPED", "AUTO_MAPPED_TO_1", "INVALID_TARGET", "IGNORED", "FLAGGED"]
    rows = [f"{status},x,1,,0.9,{status},3004501,MAPS_TO" for status in statuses]
    rows += [f"{kind},x,1,,0.9,APPROVED,44777566,{kind}" for kind in ("MAPS_TO_VALUE", "MAPS_TO_UNIT")]
    header = "sourceCode,sourceName,sourceFrequency,ADD_INFO:note,matchScore,mappingStatus,conceptId,mappingType"
    (made / "Local labs.csv").write_text("\n".join([header, *rows]), encoding="utf-8")
    with caplog.at_level("INFO"):
        assert written(made, concepts, "source_code", "source_vocabulary_id") == [("APPROVED", "Local labs")]
    assert "6 rows not applied: not APPROVED" in caplog.text
    assert "2 rows not applied: another mapping type than MAPS_TO" in caplog.text


def test_a_usagi_export_can_tell_the_vocabulary_of_each_code(home: Path, tmp_path: Path, concepts: Path) -> None:
    made = tmp_path / "map"
    made.mkdir()
    (made / "reviewed in Usagi.csv").write_text(
        "sourceCode,sourceName,mappingStatus,conceptId,ADD_INFO:source_vocabulary_id\n"
        "A,a,APPROVED,3004501,Synthea specialty\n"
        "A,a,APPROVED,3004501,LOINC\n"
        "B,b,APPROVED,3004501,\n",
        encoding="utf-8",
    )
    assert written(made, concepts, "source_vocabulary_id", "source_code") == [
        ("LOINC", "A"),
        ("Synthea specialty", "A"),
        ("reviewed in Usagi", "B"),
    ]


def test_a_map_in_another_encoding_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_bytes(LAYOUT.encode() + "é,0,Local,,44777566,,,,\n".encode("latin-1"))
    with pytest.raises(ContractError, match=r"bad\.csv, after line \d+: not UTF-8"):
        custom_maps(tmp_path, tmp_path / "out.parquet")
