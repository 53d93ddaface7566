"""The whole circle: an unmapped code is counted, goes out to Usagi, comes back approved, and the next run maps it."""

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_hospital import Hospital, write_tiny_hospital
from typer.testing import CliRunner

from etl.cli import mapping
from etl.config import PROJECT, Settings
from etl.pipeline.coverage import Code, SourceColumn, coverage_of
from etl.pipeline.mapping_report import FILES, report_mapping
from etl.pipeline.runs import Run

pytestmark = pytest.mark.integration
DIABETES = 201826


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The project's sources where a test may add a map."""
    folder = tmp_path_factory.mktemp("project") / "sources"
    shutil.copytree(PROJECT / "sources", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Settings, "sources_dir", property(lambda self: folder))
        yield folder


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_hospital(tmp_path_factory.mktemp("hospital"))


@pytest.fixture(scope="module")
def first(hospital: Hospital, sources: Path, files: Path) -> Run:
    return hospital.run(files)


def conditions(run: Run) -> SourceColumn:
    return next(column for column in coverage_of(run) if column.name == "conditions.code")


def local_code(run: Run) -> Code:
    return next(code for code in conditions(run).codes if code.code == "LOCAL-404")


def release_report(hospital: Hospital, run: Run) -> Path:
    [(release,)] = hospital.query(f"SELECT release_id FROM etl.release WHERE run_id = '{run.run_id}'")
    return hospital.home / "releases" / str(release) / "report"


def call(*words: str) -> str:
    result = CliRunner().invoke(mapping.app, list(words), catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_the_coverage_finds_the_unmapped_code_with_its_name(hospital: Hospital, first: Run) -> None:
    assert (conditions(first).rows, conditions(first).mapped_rows) == (2, 1)
    found = local_code(first)
    assert (found.path, found.rows, found.target_concept_id) == ("unmapped", 1, 0)
    assert found.name == "A code that nobody knows"


def test_the_release_has_page_and_csv_and_its_front_page_leads_everywhere(hospital: Hospital, first: Run) -> None:
    report = release_report(hospital, first)
    assert all((report / name).is_file() for name in FILES)
    assert "LOCAL-404" in (report / "mapping.html").read_text(encoding="utf-8")
    with (report / "mapping_coverage.csv").open(encoding="utf-8", newline="") as file:
        lines = {
            line["source_code"]: line for line in csv.DictReader(file) if line["source_column"] == "conditions.code"
        }
    assert lines["LOCAL-404"]["mapped_rows"] == "0" and lines["44054006"]["mapped_rows"] == "1"
    assert (report / "candidate/index.html").is_file() and (report / "landing/index.html").is_file()


def test_a_coverage_that_is_counted_after_the_publish_still_reaches_the_release(hospital: Hospital, first: Run) -> None:
    """The publish does not wait for this step."""
    report = release_report(hospital, first)
    for name in FILES:
        (report / name).unlink()
    report_mapping(first)
    assert all((report / name).is_file() for name in FILES)


def test_approved_in_usagi_the_next_run_maps_it(
    hospital: Hospital, first: Run, sources: Path, files: Path, tmp_path: Path
) -> None:
    assert "LOCAL-404" in call("coverage", "--run", first.run_id)
    call("export", "--column", "conditions.code", "--run", first.run_id, "--output", str(tmp_path / "out"))
    with (tmp_path / "out/snomed.csv").open(encoding="utf-8", newline="") as file:
        [exported] = csv.DictReader(file)
    assert exported == {
        "sourceCode": "LOCAL-404",
        "sourceName": "A code that nobody knows",
        "sourceFrequency": "1",
        "source_vocabulary_id": "SNOMED",
        "sourceColumn": "conditions.code",
    }
    answer = exported | {"matchScore": "0.8", "mappingStatus": "APPROVED", "conceptId": str(DIABETES)}
    with (tmp_path / "saved.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(answer))
        writer.writeheader()
        writer.writerow(answer)
    call("import", str(tmp_path / "saved.csv"), "--source", "synthea", "--vocabulary", "SNOMED")
    assert (sources / "synthea/map/snomed.csv").is_file()

    second = hospital.run(files)
    found = local_code(second)
    assert (found.path, found.mapped_rows, found.target_concept_id) == ("custom", 1, DIABETES)
    assert conditions(second).mapped_rows == conditions(second).rows
    assert "Nothing was found" not in call("coverage", "--run", second.run_id, "--column", "conditions.code")
    assert hospital.query(
        "SELECT condition_concept_id FROM cdm.condition_occurrence WHERE condition_source_value = 'LOCAL-404'"
    ) == [(DIABETES,)]
