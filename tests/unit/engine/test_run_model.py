"""The model runner: a SELECT over Parquet in, one Parquet out, or nothing."""

from pathlib import Path

import pytest

from etl.cdm import Column
from etl.engine import connection, count_rows, inputs_of, relation, run_model, write_parquet
from etl.errors import CdmflowError

ID = [Column("id", "bigint")]


@pytest.fixture
def numbers(tmp_path: Path, home: Path) -> Path:
    file = tmp_path / "numbers.parquet"
    with connection() as con:
        write_parquet(con, "SELECT i AS id, 'Kim ' || i AS name FROM range(3) AS r(i)", file)
    return file


def run(sql: str, numbers: Path, output: Path, columns: list[Column] | None = None) -> int:
    return run_model(sql, {"map.numbers": [numbers]}, output, columns=columns, variables={"concept": {"ehr": 32817}})


def test_a_model_reads_its_inputs_and_counts_its_rows(numbers: Path, tmp_path: Path) -> None:
    output = tmp_path / "out" / "x.parquet"
    assert run("SELECT id FROM map.numbers WHERE id > 0", numbers, output, ID) == 2
    assert count_rows([output]) == 2


def test_several_files_are_one_relation(numbers: Path, tmp_path: Path) -> None:
    assert count_rows([numbers, numbers]) == 6


def test_concepts_are_filled_in_by_name(numbers: Path, tmp_path: Path) -> None:
    output = tmp_path / "x.parquet"
    run("SELECT CAST({{ concept.ehr }} AS BIGINT) AS id FROM map.numbers", numbers, output, ID)
    with connection() as con:
        assert con.execute(f"SELECT DISTINCT id FROM {relation([output])}").fetchall() == [(32817,)]


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELECT id FROM map.letters", "map.letters"),
        ("SELECT {{ concept.ehhr }} AS id FROM map.numbers", "concept.ehhr"),
        ("SELECT CAST(id AS INTEGER) AS id FROM map.numbers", "INTEGER"),
        ("SELECT id, id AS more FROM map.numbers", "more"),
        ("SELECT idd FROM map.numbers", "idd"),
    ],
)
def test_a_wrong_model_writes_nothing_and_says_what_is_wrong(
    sql: str, says: str, numbers: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out" / "x.parquet"
    with pytest.raises(CdmflowError, match=says):
        run(sql, numbers, output, ID)
    assert not list(tmp_path.glob("out/*"))


def test_a_failing_cast_does_not_tell_the_value(numbers: Path, tmp_path: Path) -> None:
    with pytest.raises(CdmflowError) as caught:
        run("SELECT CAST(name AS BIGINT) AS id FROM map.numbers", numbers, tmp_path / "x.parquet", ID)
    assert "Kim" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert not (tmp_path / "x.parquet").exists()


def test_a_failed_model_leaves_its_former_output(numbers: Path, tmp_path: Path) -> None:
    output = tmp_path / "x.parquet"
    run("SELECT id FROM map.numbers", numbers, output, ID)
    with pytest.raises(CdmflowError):
        run("SELECT CAST(name AS BIGINT) AS id FROM map.numbers", numbers, output, ID)
    assert count_rows([output]) == 3


def test_dependencies_see_through_a_cte_that_shadows_a_table() -> None:
    sql = "WITH person AS (SELECT * FROM cdm.person) SELECT * FROM person JOIN vocabulary.concept AS c ON true"
    assert inputs_of(sql) == {"cdm.person", "vocabulary.concept"}
