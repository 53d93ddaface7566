"""SQL tests are small tables in, small tables out: `tests/sql/<stage>/<file>/<sentence>.yaml`.

    why: one sentence, for the reader
    given:  {schema.table: [{column: value, …}, …]}   tables not named are empty, columns not named are NULL
    expect: [{column: value, …}, …]                   all rows, in any order; columns not named are not compared

The folder names the SQL file: `4_cdm/person/` is sql/4_cdm/person.sql, `2_source/synthea/src_event/conditions/` is
sources/synthea/2_source/src_event/conditions.sql. `{{ concept.… }}` and `{{ part.… }}` work as in SQL.
`run.parameter` has one row if a test gives none.
"""

from collections import Counter
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from etl.cdm import Column, quoted, source_models, tables
from etl.engine import (
    connection,
    duckdb_type,
    empty_relation,
    inputs_of,
    lint,
    relation,
    render,
    run_model,
    write_parquet,
)
from etl.vocabulary.named import variables as named_concepts

PROJECT = Path(__file__).resolve().parents[2]
TESTS = Path(__file__).parent
CASES = sorted(TESTS.rglob("*.yaml"))
PARAMETER = {
    "source": "synthea",
    "cutoff_date": date(2024, 12, 31),
    "vocabulary_version": "v5.0",
    "cdm_version": "5.4",
    "code_version": "test",
    "observation_period": "ehr",
    "same_day_outpatient": "separate",
}
FIXED = {
    "state.person": {"person_id": "integer", "person_key": "varchar", "source_row_id": "bigint"},
    "run.parameter": {
        "source": "varchar",
        "cutoff_date": "date",
        "vocabulary_version": "varchar",
        "cdm_version": "varchar",
        "code_version": "varchar",
        "observation_period": "varchar",
        "same_day_outpatient": "varchar",
    },
}
CONTRACT_TYPES = {"text": "varchar"}
Rows = list[dict[str, Any]]


def sql_files() -> list[Path]:
    return sorted([*(PROJECT / "sql").rglob("*.sql"), *(PROJECT / "sources").rglob("*.sql")])


def folder_of(sql_file: Path) -> Path:
    """Where the tests of a SQL file are."""
    parts = sql_file.relative_to(PROJECT).with_suffix("").parts
    return TESTS.joinpath(*parts[1:]) if parts[0] == "sql" else TESTS.joinpath(parts[2], parts[1], *parts[3:])


def sql_file_of(folder: Path) -> Path:
    parts = folder.relative_to(TESTS).parts
    if parts[0] == "2_source":
        return PROJECT.joinpath("sources", parts[1], parts[0], *parts[2:]).with_suffix(".sql")
    return PROJECT.joinpath("sql", *parts).with_suffix(".sql")


@cache
def all_variables() -> dict[str, dict[str, object]]:
    registry = yaml.safe_load((PROJECT / "sources" / "source_parts.yml").read_text(encoding="utf-8"))
    return {
        "concept": dict(named_concepts()),
        "part": {f"{part['source']}_{part['part']}": number for number, part in registry.items()},
    }


def declared(sql_file: Path) -> tuple[Column, ...] | None:
    """The columns that a SQL file promises, None where only the file itself says them (map, account)."""
    stage = sql_file.relative_to(PROJECT).parts
    if stage[0] == "sources":
        return source_models()[sql_file.parent.name if sql_file.parent.name == "src_event" else sql_file.stem]
    return tables()[sql_file.stem].fields if stage[1] in ("4_cdm", "5_derive") else None


@cache
def columns_of(name: str) -> tuple[Column, ...]:
    """The columns of anything that SQL may read; of map.* from the SQL that makes it, run over empty inputs."""
    schema, table = name.split(".")
    if name in FIXED:
        return tuple(Column(column, sql_type) for column, sql_type in FIXED[name].items())
    if schema == "landing":
        # One contract for now; with a second source the landing tables of a test belong to its folder's source.
        contract = yaml.safe_load((PROJECT / "sources" / "synthea" / "tables.yml").read_text(encoding="utf-8"))
        columns = contract["tables"][table]["columns"].items()
        landed = [Column(key.lower(), CONTRACT_TYPES.get(value["type"], value["type"])) for key, value in columns]
        return (*landed, Column("source_row_id", "bigint"))
    if schema == "source":
        return source_models()[table]
    if schema in ("cdm", "vocabulary", "custom"):
        return tables()[table].fields
    sql_text = render((PROJECT / "sql" / "3_map" / f"{table}.sql").read_text(encoding="utf-8"), all_variables())
    with connection(threads=1) as con:
        for needed in sorted(inputs_of(sql_text)):
            con.execute(f"CREATE SCHEMA IF NOT EXISTS {needed.split('.')[0]}")
            con.execute(f"CREATE VIEW {needed} AS {empty_relation(columns_of(needed))}")
        return tuple(Column(row[0], row[1]) for row in con.execute(f"DESCRIBE {sql_text}").fetchall())


def as_select(name: str, rows: Rows) -> str:
    columns = columns_of(name)
    unknown = {key for row in rows for key in row} - {column.name for column in columns}
    assert not unknown, f"{name} has no column {', '.join(sorted(unknown))}"

    def literal(value: object) -> str:
        return "NULL" if value is None else "'" + str(value).replace("'", "''") + "'"

    selects = [
        "SELECT "
        + ", ".join(
            f"CAST({literal(row.get(column.name))} AS {duckdb_type(column.sql_type)}) AS {quoted(column.name)}"
            for column in columns
        )
        for row in rows
    ]
    return " UNION ALL ".join(selects) or empty_relation(columns)


def comparable(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (Decimal, float)):
        return round(float(value), 9)
    return value


def run_case(sql_file: Path, given: dict[str, Rows], folder: Path) -> list[dict[str, object]]:
    sql_text = sql_file.read_text(encoding="utf-8")
    wanted = inputs_of(sql_text)
    assert set(given) <= wanted, f"{sql_file.name} does not read {', '.join(sorted(set(given) - wanted))}"
    inputs: dict[str, list[Path]] = {}
    output = folder / "output.parquet"
    with connection(threads=1) as con:
        for name in sorted(wanted):
            default: Rows = [PARAMETER] if name == "run.parameter" else []
            inputs[name] = [folder / f"{name}.parquet"]
            write_parquet(con, as_select(name, given.get(name, default)), inputs[name][0])
        run_model(sql_text, inputs, output, columns=declared(sql_file), variables=all_variables(), con=con)
        found = con.execute(f"SELECT * FROM {relation([output])}")
        names = [column[0] for column in found.description]
        return [dict(zip(names, map(comparable, row), strict=True)) for row in found.fetchall()]


@pytest.mark.parametrize("case", CASES, ids=[str(case.relative_to(TESTS).with_suffix("")) for case in CASES])
def test_sql_file(case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDMFLOW_HOME", str(tmp_path))
    told = yaml.safe_load(render(case.read_text(encoding="utf-8"), all_variables()))
    assert told["why"].strip(), "A test says why."
    expected = [{key: comparable(value) for key, value in row.items()} for row in told["expect"]]
    found = run_case(sql_file_of(case.parent), told.get("given") or {}, tmp_path)
    named = sorted(expected[0]) if expected else []
    assert all(sorted(row) == named for row in expected), "All expected rows name the same columns."
    if found and named:
        assert set(named) <= set(found[0]), f"no column {', '.join(sorted(set(named) - set(found[0])))}"

    def counted(rows: list[dict[str, object]]) -> Counter[tuple[object, ...]]:
        return Counter(tuple(row[name] for name in named) for row in rows)

    if not expected:
        assert not found
    assert counted(found) == counted(expected), f"columns: {', '.join(named)}"


def test_every_sql_file_has_a_test() -> None:
    without = [str(path.relative_to(PROJECT)) for path in sql_files() if not list(folder_of(path).glob("*.yaml"))]
    assert not without, f"No tests for: {', '.join(without)}"


def test_every_test_belongs_to_a_sql_file() -> None:
    orphans = [str(case.relative_to(TESTS)) for case in CASES if not sql_file_of(case.parent).is_file()]
    assert not orphans, f"No SQL file for: {', '.join(orphans)}"


def test_every_sql_file_keeps_to_the_subset() -> None:
    findings = [
        str(finding)
        for path in sql_files()
        for finding in lint(path.read_text(encoding="utf-8"), str(path.relative_to(PROJECT)))
    ]
    assert not findings, "\n".join(findings)


def test_every_sql_file_begins_with_its_grain() -> None:
    without = [str(path.relative_to(PROJECT)) for path in sql_files() if not path.read_text().startswith("-- one row")]
    assert not without, f"These do not say what a row is: {', '.join(without)}"


def test_every_name_in_sql_is_known() -> None:
    for path in sql_files():
        render(path.read_text(encoding="utf-8"), all_variables())


def test_every_cdm_table_has_a_sql_file_or_is_known_to_be_empty() -> None:
    empty = {"note_nlp", "episode", "episode_event", "fact_relationship", "cohort", "cohort_definition"}
    made = {path.stem for path in sql_files() if path.parent.name in ("4_cdm", "5_derive")}
    assert made | empty == {name for name, table in tables().items() if table.schema != "VOCAB"}


def test_the_registry_of_parts_has_unique_numbers_within_the_id_formula() -> None:
    text = (PROJECT / "sources" / "source_parts.yml").read_text(encoding="utf-8")
    numbers = [int(line.split(":")[0]) for line in text.splitlines() if line[:1].isdigit()]
    assert len(numbers) == len(set(numbers)) and all(1 <= number <= 999 for number in numbers)
    registry = yaml.safe_load(text)
    names = Counter((part["source"], part["part"]) for part in registry.values())
    assert max(names.values()) == 1


def test_src_part_tells_what_the_registry_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDMFLOW_HOME", str(tmp_path))
    registry = yaml.safe_load((PROJECT / "sources" / "source_parts.yml").read_text(encoding="utf-8"))
    for path in sorted((PROJECT / "sources").glob("*/2_source/src_part.sql")):
        source = path.parents[1].name
        parts = {number: part["table"] for number, part in registry.items() if part["source"] == source}
        first = {table: min(number for number in parts if parts[number] == table) for table in parts.values()}
        found = {row["source_part_no"]: (row["table_no"], row["table_name"]) for row in run_case(path, {}, tmp_path)}
        assert found == {number: (first[table], table) for number, table in parts.items()}


def test_src_landed_counts_every_table_of_the_contract() -> None:
    for contract in sorted((PROJECT / "sources").glob("*/tables.yml")):
        tables_of_contract = yaml.safe_load(contract.read_text(encoding="utf-8"))["tables"]
        sql_text = (contract.parent / "2_source" / "src_landed.sql").read_text(encoding="utf-8")
        assert inputs_of(sql_text) == {f"landing.{name}" for name in tables_of_contract}
