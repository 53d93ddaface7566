"""synthea_109 beside the published output of OHDSI's ETL-Synthea: every row of either side is equal or has a named rule."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from comparison import Comparison, compare, load_comparison
from readable import read_csv_folder, read_run
from tiny_hospital import Hospital

from etl.pipeline.runs import relations

pytestmark = pytest.mark.integration

COMPARISONS = {path.stem: path for path in sorted((Path(__file__).parent / "synthea_109").glob("*.yml"))}


@pytest.fixture(scope="module")
def both(hospital: Hospital, shared_data: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    run = hospital.run(shared_data / "synthea_109/source", shared_data / "vocabulary_synthea")
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        read_csv_folder(con, "src", shared_data / "synthea_109/source")
        read_csv_folder(con, "ref", shared_data / "synthea_109/reference_cdm")
        read_run(con, relations(run))
        con.execute((Path(__file__).parent / "synthea_109/names.sql").read_text(encoding="utf-8"))
        yield con


@pytest.mark.parametrize("table", COMPARISONS)
def test_every_row_is_equal_or_explained(table: str, both: duckdb.DuckDBPyConnection) -> None:
    comparison = load_comparison(COMPARISONS[table])
    result = compare(both, comparison)
    print(result)
    assert result.unexplained == 0, "\n".join(result.samples)
    unused = [f"{side}: {rule}" for (side, rule), rows in result.by_rule.items() if rows == 0]
    assert not unused, f"rules that explain nothing: {unused}"
