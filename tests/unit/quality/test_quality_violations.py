"""Which rows violate a check: as many as its count says, and the right ones."""

from pathlib import Path

import pytest
from quality_helpers import Cdm, counts, hospital
from test_quality_counts import BROKEN, Break

from etl.config import settings
from etl.engine import connection, quote_path
from etl.quality import ROW_TYPES, enforced_checks, write_violations
from etl.quality.suites import CHECK_TYPES, read_suites

ROWS = [broken for broken in BROKEN if broken[0].split(".")[1] in ROW_TYPES]
DOUBLED = ("primary_key", "unique")  # all rows of a doubled key are at fault, one of them is beyond the first


def violating(cdm: Cdm, folder: Path, *check_ids: str) -> list[tuple[str, str, int | None]]:
    """(check id, CDM table, row id) of the rows that violate these checks."""
    counts(cdm, folder)
    output = folder / "violations.parquet"
    written = write_violations(settings(), folder / "run", folder / "vocabulary", check_ids, output)
    with connection(1) as con:
        rows = con.execute(f"SELECT * FROM read_parquet({quote_path(output)}) ORDER BY ALL").fetchall()
    assert {check_id: len([row for row in rows if row[0] == check_id]) for check_id in written} == written
    return rows


@pytest.mark.parametrize(("check_id", "break_it", "violated", "denominator"), ROWS, ids=[broken[0] for broken in ROWS])
def test_as_many_rows_are_selected_as_were_counted(
    check_id: str, break_it: Break, violated: int, denominator: int, home: Path, tmp_path: Path
) -> None:
    cdm = hospital()
    break_it(cdm)
    rows = violating(cdm, tmp_path, check_id)
    table, check_type = check_id.split(".")[:2]
    assert len(rows) == (violated + 1 if check_type in DOUBLED else violated)
    assert {row[:2] for row in rows} == {(check_id, table)}


def test_every_check_of_single_rows_is_among_them() -> None:
    assert set(CHECK_TYPES) - set(ROW_TYPES) == {"has_rows", "columns", "types"}
    assert {broken[0].split(".")[1] for broken in ROWS} == set(ROW_TYPES)


def test_the_rows_at_fault_are_selected_and_no_other(home: Path, tmp_path: Path) -> None:
    cdm = hospital()
    cdm["condition_occurrence"][1]["condition_start_date"] = "1979-12-31"
    cdm["death"][0]["death_date"] = "1949-12-31"
    cdm["visit_occurrence"][1]["visit_end_date"] = "2020-02-01"
    assert violating(
        cdm,
        tmp_path,
        "condition_occurrence.after_birth.condition_start_date",
        "death.after_birth.death_date",
        "visit_occurrence.stays_apart.visit_start_date",
        "condition_occurrence.after_birth.condition_end_date",
        "person.has_rows",
        "nothing.of.the.kind",
    ) == [
        ("condition_occurrence.after_birth.condition_start_date", "condition_occurrence", 201000),
        ("death.after_birth.death_date", "death", 1),
        ("visit_occurrence.stays_apart.visit_start_date", "visit_occurrence", 300700),
    ]


def test_a_table_without_a_file_has_no_row_at_fault(home: Path, tmp_path: Path) -> None:
    cdm = hospital()
    del cdm["condition_occurrence"]
    assert violating(cdm, tmp_path, "condition_occurrence.after_birth.condition_start_date") == []


def test_what_postgresql_enforces_is_known_by_check_id() -> None:
    suites = read_suites(settings().expectations_dir / "cdm")
    enforced = {check.check_id for checks in suites.values() for check in checks} & enforced_checks()
    assert enforced == enforced_checks()
    assert {check_id.split(".")[1] for check_id in enforced} == {
        "columns", "types", "required", "length", "primary_key", "foreign_key",
    }  # fmt: skip
    assert "condition_occurrence.foreign_key.person_id" in enforced
    assert "condition_occurrence.after_birth.condition_start_date" not in enforced
