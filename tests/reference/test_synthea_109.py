"""synthea_109 beside the output of OHDSI's ETL-Synthea: every row of either side is equal or has a named rule."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from comparison import Comparison, Result, compare, load_comparison
from documented import DOCS, counts_table, rules_table
from readable import read_csv_folder, read_run
from tiny_hospital import Hospital

from etl.pipeline.runs import relations

pytestmark = pytest.mark.integration

FOLDER = Path(__file__).parent / "synthea_109"
COMPARISONS: dict[str, Comparison] = {path.stem: load_comparison(path) for path in sorted(FOLDER.glob("*.yml"))}


@pytest.fixture(scope="module")
def both(hospital: Hospital, shared_data: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    run = hospital.run(shared_data / "synthea_109/source", shared_data / "vocabulary_synthea")
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        read_csv_folder(con, "src", shared_data / "synthea_109/source")
        read_csv_folder(con, "ref", shared_data / "synthea_109/reference_cdm")
        read_run(con, relations(run))
        con.execute((FOLDER / "names.sql").read_text(encoding="utf-8"))
        yield con


@pytest.fixture(scope="module")
def results(both: duckdb.DuckDBPyConnection) -> dict[str, Result]:
    return {table: compare(both, comparison) for table, comparison in COMPARISONS.items()}


@pytest.mark.parametrize("table", COMPARISONS)
def test_every_row_is_equal_or_explained(table: str, results: dict[str, Result]) -> None:
    result = results[table]
    assert result.unexplained == 0, "\n".join(result.samples)
    unused = [f"{side}: {rule}" for (side, rule), rows in result.by_rule.items() if rows == 0]
    assert not unused, f"rules that explain nothing: {unused}"


def test_the_documented_counts_are_those_found(results: dict[str, Result]) -> None:
    counts, rules = counts_table(results), rules_table(results, COMPARISONS)
    assert counts in (DOCS / "conventions.md").read_text(encoding="utf-8"), f"docs/conventions.md needs\n{counts}"
    assert rules in (DOCS / "compared.md").read_text(encoding="utf-8"), f"docs/compared.md needs\n{rules}"
