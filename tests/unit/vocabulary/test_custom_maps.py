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
    ],
)
def test_a_broken_map_names_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ContractError, match=message):
        custom_maps(tmp_path, tmp_path / "out.parquet")
