"""Counts per source value add up over persons, which counts of distinct values do not."""

from pathlib import Path

from dqd_helpers import candidate

from etl.config import settings
from etl.engine import quote_path
from etl.quality.dqd.catalogue import read_catalogue
from etl.quality.dqd.source_values import count_source_values, merge_source_values, write_source_values

CHECK = "field_sourcevaluecompleteness_condition_occurrence_condition_source_value"

# person, source value, concept
RELEASE = [(1, "R05", 1), (1, "R06", 0), (2, "R05", 0), (2, None, 0), (3, "J45", 1)]
NIGHT = [(2, "R06", 1), (2, "K21", 0)]  # person 2, made again


def test_the_release_without_the_nights_persons_and_with_their_new_rows_is_the_new_release(
    home: Path, tmp_path: Path
) -> None:
    checks = [check for check in read_catalogue(settings().expectations_dir / "dqd") if check.check_id == CHECK]
    parts = {
        "base": RELEASE,
        "before": [row for row in RELEASE if row[0] == 2],
        "now": NIGHT,
        "whole": [row for row in RELEASE if row[0] != 2] + NIGHT,
    }
    found = {}
    with candidate() as con:
        for name, rows in parts.items():
            con.execute("DELETE FROM cdm.condition_occurrence")
            con.executemany(
                "INSERT INTO cdm.condition_occurrence (person_id, condition_source_value, condition_concept_id) "
                "VALUES (?, ?, ?)",
                rows,
            )
            found[name] = write_source_values(con, checks, tmp_path / f"{name}.parquet")
        paths = [tmp_path / f"{name}.parquet" for name in ("base", "before", "now", "merged")]
        merged = merge_source_values(con, *paths)
        read = "SELECT * FROM read_parquet({}) ORDER BY ALL"
        kept = [
            con.execute(read.format(quote_path(path))).fetchall() for path in (paths[3], tmp_path / "whole.parquet")
        ]
        assert count_source_values(con, paths[3]) == merged
    assert found["base"] == {CHECK: (3, 4)}  # R05, R06 and no value; R05 also has a mapped row
    assert merged == found["whole"] == {CHECK: (2, 4)}
    assert kept[0] == kept[1]
    assert not {"R05", "R06", "J45", "K21"} & {value for row in kept[0] for value in row}
