"""`trace` and `explain` on a real run: every event's id leads to the line that Python's csv reader finds, and back."""

import csv
import random
from pathlib import Path

import pytest
from tiny_hospital import TABLES, Hospital, write_tiny_hospital

from etl.demo import write_hospital
from etl.errors import UsageError
from etl.pipeline.explain import explain_person
from etl.pipeline.trace import trace, trace_line

pytestmark = pytest.mark.integration


def test_every_event_leads_to_its_line_and_every_person_has_a_timeline(own: Hospital, tmp_path: Path) -> None:
    folder = write_tiny_hospital(tmp_path / "in")
    own.run(folder)
    traced = 0
    for table, file, column in (
        ("condition_occurrence", "conditions", "CODE"),
        ("measurement", "observations", "CODE"),
        ("visit_detail", "encounters", "ENCOUNTERCLASS"),
    ):
        with (folder / f"{file}.csv").open(encoding="utf-8", newline="") as stream:
            records = list(csv.DictReader(stream))
        value = "visit_detail_source_value" if table == "visit_detail" else f"{table.split('_')[0]}_source_value"
        for row_id, code in own.query(f"SELECT {table}_id, {value} FROM cdm.{table}"):
            found = trace(table, row_id)
            [row] = found.sources
            assert row.origin is not None
            assert (row.table, row.origin.line_no) == (file, row.origin.record_no + 1)
            assert records[row.origin.record_no - 1][column] == code
            traced += 1
    assert traced >= len(TABLES["conditions"]) + len(TABLES["observations"]) + len(TABLES["encounters"])
    for (person_id,) in own.query("SELECT person_id FROM cdm.person"):
        timeline = explain_person(person_id)
        assert {line.source_table for line in timeline.lines} >= {"encounters"}
        assert {line.cdm_table for line in timeline.lines} >= {"visit_occurrence", "observation_period"}


EVENT_TABLES = {
    "visit_occurrence": "visit_source_value",
    "visit_detail": "visit_detail_source_value",
    "condition_occurrence": "condition_source_value",
    "drug_exposure": "drug_source_value",
    "procedure_occurrence": "procedure_source_value",
    "device_exposure": "device_source_value",
    "measurement": "measurement_source_value",
    "observation": "observation_source_value",
}


@pytest.fixture(scope="module")
def generated(hospital: Hospital, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated hospital of 60 patients, and a line too short in its conditions, published."""
    folder = tmp_path_factory.mktemp("generated")
    write_hospital(folder, patients=60)
    with (folder / "conditions.csv").open("a", encoding="utf-8") as conditions:
        conditions.write("2020-01-01,,p1\n")
    hospital.run(folder)
    return folder


def lines_of(path: Path) -> list[list[str]]:
    """Every line of a file as its cells, by number less one: the generated files have no line breaks in cells."""
    with path.open(encoding="utf-8", newline="") as content:
        return [next(csv.reader([line])) for line in content]


@pytest.mark.parametrize("table", EVENT_TABLES)
def test_ids_of_every_event_table_lead_to_the_line_of_their_person_and_code(
    table: str, hospital: Hospital, generated: Path
) -> None:
    told_by = f"{table}_id, person_source_value, {EVENT_TABLES[table]}"
    rows = hospital.query(f"SELECT {told_by} FROM cdm.{table} JOIN cdm.person USING (person_id)")
    files: dict[str, list[list[str]]] = {}
    for row_id, person, code in random.Random(1).sample(rows, min(15, len(rows))):
        found = trace(table, row_id)
        told = []
        for row in found.sources:
            assert row.origin is not None
            assert row.origin.line_no is not None
            lines = files.setdefault(row.table, lines_of(generated / f"{row.table}.csv"))
            told.append(lines[row.origin.line_no - 1])
        assert any(person in line and code in line for line in told), (table, row_id)


@pytest.mark.parametrize("table", ["drug_era", "condition_era", "dose_era", "observation_period", "payer_plan_period"])
def test_a_derived_row_leads_to_the_rows_that_it_is_made_of(table: str, hospital: Hospital, generated: Path) -> None:
    [(row_id, person_id)] = hospital.query(f"SELECT {table}_id, person_id FROM cdm.{table} ORDER BY 1 DESC LIMIT 1")
    found = trace(table, row_id)
    assert found.made_of or found.sources
    for other, other_id, _ in found.made_of:
        column = "person_id" if other == "death" else f"{other}_id"
        assert hospital.query(f"SELECT person_id FROM cdm.{other} WHERE {column} = {other_id}") == [(person_id,)]


@pytest.mark.parametrize(
    ("era", "counts"),
    [("drug_era", "drug_exposure_count"), ("condition_era", "condition_occurrence_count")],
)
def test_an_era_leads_to_as_many_rows_as_it_counts(era: str, counts: str, hospital: Hospital, generated: Path) -> None:
    rows = hospital.query(f"SELECT {era}_id, {counts} FROM cdm.{era}")
    for row_id, count in random.Random(1).sample(rows, min(25, len(rows))):
        assert len(trace(era, row_id).made_of) == count, row_id


def test_an_exposure_belongs_to_one_dose_era_of_an_ingredient(hospital: Hospital, generated: Path) -> None:
    eras = hospital.query("SELECT dose_era_id, drug_concept_id FROM cdm.dose_era ORDER BY 2, person_id LIMIT 60")
    made_of = [(one, drug) for row_id, drug in eras for one in trace("dose_era", row_id).made_of]
    assert len(made_of) >= len(eras) > 0
    assert len(set(made_of)) == len(made_of)


@pytest.mark.parametrize("table", ["person", "death", "location", "care_site", "provider", "cost", "payer_plan_period"])
def test_the_other_tables_can_be_traced_too(table: str, hospital: Hospital, generated: Path) -> None:
    column = "person_id" if table in ("person", "death") else f"{table}_id"
    [(row_id,)] = hospital.query(f"SELECT {column} FROM cdm.{table} ORDER BY 1 LIMIT 1")
    found = trace(table, row_id)
    assert found.sources
    assert all(row.origin is not None for row in found.sources)


def test_a_row_that_does_not_exist_and_a_table_that_has_no_trace_say_so(hospital: Hospital, generated: Path) -> None:
    with pytest.raises(UsageError, match="measurement has no row 99999900000"):
        trace("measurement", 99_999_900_000)
    with pytest.raises(UsageError, match="not a table whose rows can be traced"):
        trace("cdm_source", 1)


def test_a_line_leads_to_all_that_became_of_it(hospital: Hospital, generated: Path) -> None:
    """Lines of conditions.csv: each a row that became something or is excluded by a rule; the last one was rejected."""
    count = len(lines_of(generated / "conditions.csv"))
    rows = 0
    for number in range(2, count, count // 20):
        found = trace_line("conditions.csv", number)
        if found.row is not None:
            rows += 1
            assert all(outcome.cdm or outcome.into or outcome.excluded for outcome in found.outcomes), number
            for outcome in found.outcomes:
                for table, row_id, _ in outcome.cdm:
                    origin = trace(table, row_id).sources[0].origin
                    assert origin is not None
                    assert origin.line_no == number
    assert rows > 15
    rejected = trace_line("conditions.csv", count).line.rejected
    assert rejected is not None
    assert rejected.reason == "too few fields"
    beyond = trace_line("conditions.csv", count + 100)
    assert (beyond.row, beyond.line.row_id, beyond.line.rejected, beyond.outcomes) == (None, None, None, ())
    with pytest.raises(UsageError):
        trace_line("no_such_file.csv", 2)
