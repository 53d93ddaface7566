"""`trace` and `explain` on a real run: every event's id leads to the line that Python's csv reader finds, and back."""

import csv
from pathlib import Path

import pytest
from tiny_hospital import TABLES, Hospital, write_tiny_hospital

from etl.pipeline.explain import explain_person
from etl.pipeline.trace import trace

pytestmark = pytest.mark.integration


def test_every_event_leads_to_its_line_and_every_person_has_a_timeline(hospital: Hospital, tmp_path: Path) -> None:
    folder = write_tiny_hospital(tmp_path / "in")
    hospital.run(folder)
    traced = 0
    for table, file, column in (
        ("condition_occurrence", "conditions", "CODE"),
        ("measurement", "observations", "CODE"),
        ("visit_detail", "encounters", "ENCOUNTERCLASS"),
    ):
        with (folder / f"{file}.csv").open(encoding="utf-8", newline="") as stream:
            records = list(csv.DictReader(stream))
        value = "visit_detail_source_value" if table == "visit_detail" else f"{table.split('_')[0]}_source_value"
        for row_id, code in hospital.query(f"SELECT {table}_id, {value} FROM cdm.{table}"):
            found = trace(table, row_id)
            [row] = found.sources
            assert row.origin is not None
            assert (row.table, row.origin.line_no) == (file, row.origin.record_no + 1)
            assert records[row.origin.record_no - 1][column] == code
            traced += 1
    assert traced >= len(TABLES["conditions"]) + len(TABLES["observations"]) + len(TABLES["encounters"])
    for (person_id,) in hospital.query("SELECT person_id FROM cdm.person"):
        timeline = explain_person(person_id)
        assert {line.source_table for line in timeline.lines} >= {"encounters"}
        assert {line.cdm_table for line in timeline.lines} >= {"visit_occurrence", "observation_period"}
