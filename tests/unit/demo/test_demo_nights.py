"""The demo's nights: what a hospital would drop the day after, and a night of mistakes put right."""

from collections import Counter
from pathlib import Path

import pytest

from etl.demo import write_hospital
from etl.demo.nights import write_night_of_changes, write_normal_night


def rows(folder: Path, table: str) -> Counter[str]:
    return Counter((folder / f"{table}.csv").read_text().splitlines()[1:])


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    root = tmp_path_factory.mktemp("nights")
    write_hospital(root / "first", patients=200)
    assert write_normal_night(root / "first", root / "second", 200) == 2
    write_night_of_changes([root / "second", root / "first"], root / "third")
    return root / "first", root / "second", root / "third"


def test_a_normal_night_adds_a_visit_a_diagnosis_and_a_measurement_of_the_next_day(
    nights: tuple[Path, Path, Path],
) -> None:
    first, second, _ = nights
    assert sorted(path.stem for path in second.iterdir()) == ["conditions", "encounters", "observations"]
    last = max(line.split(",")[1] for line in rows(first, "encounters"))[:10]
    for table in ("encounters", "conditions", "observations"):
        new = rows(second, table) - rows(first, table)
        assert sum(new.values()) == 2, table
        assert not rows(first, table) - rows(second, table), table
    assert all(line.split(",")[1][:10] > last for line in rows(second, "encounters") - rows(first, "encounters"))


def test_the_third_night_corrects_one_row_deletes_one_and_brings_one_late(nights: tuple[Path, Path, Path]) -> None:
    first, second, third = nights
    came = {table: rows(third, table) for table in ("encounters", "medications", "observations")}
    before = {"encounters": rows(second, "encounters"), "medications": rows(first, "medications"),
              "observations": rows(second, "observations")}  # fmt: skip
    differing = {
        table: (sum((came[table] - before[table]).values()), sum((before[table] - came[table]).values()))
        for table in came
    }
    assert differing == {"encounters": (1, 1), "medications": (0, 1), "observations": (1, 0)}
