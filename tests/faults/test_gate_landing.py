"""The landing gate: Great Expectations' own expectations on landed Parquet, each broken once."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from quality_helpers import write_select

from etl.config import settings
from etl.quality import LandedTable, gate_landing, warm_up

pytestmark = pytest.mark.faults
ROWS = [("p1", "Zebulon", 41), ("p2", "Ada", 42), ("p3", None, 43)]


@pytest.fixture(scope="module", autouse=True)
def great_expectations() -> None:
    warm_up().join()


def landed(folder: Path, rows: list[tuple[Any, ...]], **changes: Any) -> LandedTable:
    values = ", ".join(f"({', '.join('NULL' if v is None else repr(v) for v in row)})" for row in rows)
    select = f"SELECT * FROM (VALUES {values}) AS t(id, name, source_row_id)"
    path = write_select(select, folder / "patients.parquet")
    table = LandedTable("patients", path, ("id",), ("id",), 3, 41, columns=("id", "name"))
    return replace(table, **changes)


def test_a_batch_that_is_as_its_ledger_row_says_passes(home: Path, tmp_path: Path) -> None:
    result = gate_landing(settings(), [landed(tmp_path, ROWS)], tmp_path / "report")
    assert result.passed, result.reasons
    assert result.evaluated == result.expected == 8


BROKEN: dict[str, tuple[list[tuple[Any, ...]], dict[str, Any]]] = {
    "patients.row_count": (ROWS[:2], {}),
    "patients.key": ([*ROWS[:2], ("p1", None, 43)], {}),
    "patients.required.id": ([*ROWS[:2], (None, None, 43)], {}),
    "patients.required.name": (ROWS, {"required_columns": ("name",)}),
    "patients.columns": (ROWS, {"columns": ("id", "name", "birthdate")}),
    "patients.source_row_id.unique": ([*ROWS[:2], ("p3", None, 42)], {}),
    "patients.source_row_id.first": (ROWS, {"first_source_row_id": 40}),
    "patients.source_row_id.last": ([*ROWS[:2], ("p3", None, 44)], {}),
    "patients.source_row_id.required": ([*ROWS[:2], ("p3", None, None)], {}),
}


@pytest.mark.parametrize("question", BROKEN, ids=BROKEN)
def test_a_broken_batch_shuts_the_gate_and_names_what_is_broken(question: str, home: Path, tmp_path: Path) -> None:
    rows, changes = BROKEN[question]
    result = gate_landing(settings(), [landed(tmp_path, rows, **changes)], tmp_path / "report")
    assert not result.passed
    assert question in [check.check_id for check in result.failed]
    assert next(check.violated for check in result.failed if check.check_id == question) == 1


def test_a_key_of_several_columns_must_be_unique_together(home: Path, tmp_path: Path) -> None:
    rows = [("p1", "a", 41), ("p1", "b", 42), ("p1", "a", 43)]
    result = gate_landing(settings(), [landed(tmp_path, rows, key=("id", "name"))], tmp_path / "report")
    assert [check.check_id for check in result.failed] == ["patients.key"]


def test_a_required_column_that_is_not_there_shuts_the_gate(home: Path, tmp_path: Path) -> None:
    result = gate_landing(settings(), [landed(tmp_path, ROWS, required_columns=("gender",))], tmp_path / "report")
    assert not result.passed
    assert "patients.required.gender: could not be evaluated" in result.reasons


def test_an_empty_batch_and_a_table_without_a_key_pass(home: Path, tmp_path: Path) -> None:
    empty = "SELECT * FROM (VALUES ('a', 'b', 1)) AS t(id, name, source_row_id) WHERE false"
    table = LandedTable("devices", write_select(empty, tmp_path / "d.parquet"), (), ("id",), 0, 1)
    assert gate_landing(settings(), [table], tmp_path / "report").passed


def test_nothing_landed_shuts_the_gate(home: Path, tmp_path: Path) -> None:
    result = gate_landing(settings(), [], tmp_path / "report")
    assert (result.passed, result.reasons) == (False, ("nothing was asked: there is no suite",))


def test_no_value_of_a_broken_batch_is_in_its_report(
    home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: Any
) -> None:
    rows = [("Quickbottom", "Zebulon", 41), ("Quickbottom", "Zebulon", 42), ("p3", "Zebulon", 42)]
    table = landed(tmp_path, rows, key=("id",), required_columns=("id", "name", "gender"))
    result = gate_landing(settings(), [table, replace(table, name="twice", key=("id", "name"))], tmp_path / "report")
    assert not result.passed
    written = "".join(path.read_text() for path in (tmp_path / "report").iterdir())
    out, err = capfd.readouterr()
    told = written + out + err + caplog.text + repr(result)
    assert "Zebulon" not in told
    assert "Quickbottom" not in told


def test_great_expectations_is_the_version_whose_connection_handling_is_replaced() -> None:
    """When this fails, read the two methods again in the new version, then raise WRITTEN_FOR."""
    import great_expectations
    from great_expectations.datasource.fluent.sql_datasource import SQLDatasource
    from great_expectations.execution_engine import SqlAlchemyExecutionEngine

    from etl.quality.gx.duckdb_source import WRITTEN_FOR

    assert great_expectations.__version__ == WRITTEN_FOR
    assert callable(SqlAlchemyExecutionEngine.get_connection)
    assert callable(SQLDatasource._create_engine)
    assert callable(SQLDatasource.get_execution_engine)


def test_without_our_engine_great_expectations_loses_an_in_memory_duckdb(tmp_path: Path) -> None:
    """The reason for `duckdb_source`; when this fails, it can go."""
    import sqlalchemy
    from great_expectations.execution_engine import SqlAlchemyExecutionEngine

    from etl.quality.gx.duckdb_source import StayingConnectionEngine

    def alive(engine_class: type) -> bool:
        pool = sqlalchemy.create_engine("duckdb:///:memory:", poolclass=sqlalchemy.NullPool)
        engine = engine_class(engine=pool)
        engine.execute_query(sqlalchemy.text("CREATE TABLE t AS SELECT 1 AS n"))
        try:
            return engine.execute_query(sqlalchemy.text("SELECT n FROM t")).fetchall() == [(1,)]
        except sqlalchemy.exc.ProgrammingError:
            return False
        finally:
            pool.dialect._type_memos.clear()

    assert not alive(SqlAlchemyExecutionEngine)
    assert alive(StayingConnectionEngine)


def test_a_process_that_gated_ends_without_a_word_on_the_terminal(home: Path, tmp_path: Path, project: Path) -> None:
    """Great Expectations, SQLAlchemy and DuckDB's binding together would write 43 lines about leaked references."""
    table = landed(tmp_path, ROWS)
    code = (
        "import sys; from pathlib import Path; from etl.config import settings; from etl.quality import *\n"
        "folder = Path(sys.argv[1]); path = folder / 'patients.parquet'\n"
        "table = LandedTable('patients', path, ('id',), ('id',), 3, 41)\n"
        "assert gate_landing(settings(), [table], folder / 'report').passed"
    )
    command = [sys.executable, "-c", code, str(table.path.parent)]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
