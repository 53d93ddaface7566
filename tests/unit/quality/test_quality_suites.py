"""The suites under expectations/: complete against the specification, refused when they are not what they must be."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from etl.cdm import tables
from etl.errors import ContractError
from etl.quality.defaults import Group, structural, suite_text, write_missing
from etl.quality.suites import CHECK_TYPES, read_suite, read_suites

CDM_TABLES = [table for table in tables().values() if table.schema == "CDM"]


@pytest.fixture(scope="module")
def suites(project: Path) -> dict[str, dict[str, object]]:
    found = read_suites(project / "expectations" / "cdm")
    return {table: {check.check_id: check for check in checks} for table, checks in found.items()}


def test_every_cdm_table_has_a_suite_and_no_suite_is_of_something_else(suites: dict) -> None:
    assert set(suites) == {table.name for table in CDM_TABLES}


@pytest.mark.parametrize("table", CDM_TABLES, ids=lambda table: table.name)
def test_a_suite_asks_all_that_the_specification_enforces_as_critical_with_nothing_allowed(
    table, suites: dict, tmp_path: Path
) -> None:
    text = f"table: {table.name}\nchecks:\n" + "".join(group.text for group in structural(table))
    path = tmp_path / f"{table.name}.yml"
    path.write_text(text)
    for demanded in read_suite(path)[1]:
        assert suites[table.name].get(demanded.check_id) == demanded


def test_every_check_type_is_used_by_some_suite(suites: dict) -> None:
    used = {check.check_type for checks in suites.values() for check in checks.values()}
    assert used == set(CHECK_TYPES)


def test_columns_that_suites_name_exist(suites: dict) -> None:
    for table, checks in suites.items():
        names = {check.column for check in checks.values()} - {""}
        assert names <= set(tables()[table].column_names), table


def test_a_suite_that_exists_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "person.yml").write_text("mine")
    written = write_missing(tmp_path)
    assert len(written) == len(CDM_TABLES) - 1
    assert (tmp_path / "person.yml").read_text() == "mine"


def test_a_written_suite_reads_back_as_it_was_meant(tmp_path: Path) -> None:
    write_missing(tmp_path)
    assert set(read_suites(tmp_path)) == {table.name for table in CDM_TABLES}
    assert suite_text(tables()["person"]) == (tmp_path / "person.yml").read_text()
    assert "allowed_percent" not in Group("required", "critical", ["person_id"]).text


ONE = {"check": "required", "severity": "critical", "columns": ["person_id"]}
WRONG = {
    "has no checks": {"table": "person", "checks": []},
    "needs exactly the keys": {"table": "person"},
    "the file's name and its table": {"table": "death", "checks": [ONE]},
    "unknown check": {"table": "person", "checks": [ONE | {"check": "reqired"}]},
    "unknown severity": {"table": "person", "checks": [ONE | {"severity": "fatal"}]},
    "must list the columns": {"table": "person", "checks": [ONE | {"columns": "person_id"}]},
    "must name columns": {"table": "person", "checks": [{"check": "required", "severity": "critical"}]},
    "must not name columns": {"table": "person", "checks": [ONE | {"check": "columns"}]},
    "its argument": {"table": "person", "checks": [ONE | {"check": "foreign_key"}]},
    "a range like 0..365": {
        "table": "person",
        "checks": [ONE | {"check": "in_range", "columns": {"year_of_birth": "from 1900"}}],
    },
    "allowed_percent": {"table": "person", "checks": [ONE | {"allowed_percent": 101}]},
    "not of the keys": {"table": "person", "checks": [ONE | {"colums": []}]},
    "more than once": {"table": "person", "checks": [ONE, ONE]},
}


@pytest.mark.parametrize("message", WRONG, ids=WRONG)
def test_a_suite_that_is_not_what_it_must_be_is_refused(message: str, tmp_path: Path) -> None:
    path = tmp_path / "person.yml"
    path.write_text(yaml.safe_dump(WRONG[message]))
    with pytest.raises(ContractError, match=message):
        read_suite(path)


def test_a_folder_without_suites_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="holds no suite"):
        read_suites(tmp_path)


def test_importing_the_gate_does_not_import_great_expectations() -> None:
    code = "import sys, etl.quality; sys.exit('great_expectations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
