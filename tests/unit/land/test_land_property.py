"""For any file whatsoever: received = landed + rejected, and the numbers have no gap."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from landing_helpers import make_contract, rows

from etl.errors import ContractError
from etl.land.contract import Contract
from etl.land.csv_files import land_file
from etl.land.source_file import prepare, read_header

pytestmark = pytest.mark.property

CONTRACT = """
source: clinic
reject_limit: {share: 1, rows: 1000}
tables:
  t:
    file: t
    key: %s
    change: snapshot
    columns:
      A: {type: text, required: true}
      B: {type: text}
      C: {type: integer}
"""

NASTY = [
    "1",
    "a",
    "",
    "7",
    "x y",
    '"',
    '""',
    '"q"',
    ' "q"',
    '"a,b"',
    '"n\nm"',
    '"""',
    'a"b',
    '"a"b',
    "\n",
    "é",
    '"\r\n"',
]
FIELDS = st.one_of(st.sampled_from(NASTY), st.text(alphabet='a1," \n\r\t', max_size=4))
ROWS = st.lists(FIELDS, min_size=0, max_size=5).map(",".join)
ENDS = st.sampled_from(["\n", "\r\n"])
FILES = st.tuples(st.lists(ROWS, max_size=12), ENDS).map(lambda file: file[1].join(file[0]) + file[1])
SOUND = st.text(alphabet='ab",\né ', max_size=5)


@pytest.fixture
def folder(home: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


def land(folder: Path, contract: Contract, content: str) -> tuple[int, int, int, list[tuple[object, ...]]]:
    table, path = contract.tables["t"], folder / "t.csv"
    path.write_bytes(("A,B,C\n" + content).encode("utf-8"))
    header = read_header(contract, table, path)
    output, rejects = folder / "t.parquet", folder / "rejects.parquet"
    rejects.unlink(missing_ok=True)
    prepared = prepare(path, "utf-8", folder / "spool")
    written = land_file(
        contract, table, header, prepared, file_name="t.csv", first_row_id=101, output=output, rejects=rejects
    )
    told = rows(rejects, "record_no") if rejects.exists() else []
    assert len(told) == written.rejected
    assert told == sorted(set(told))
    assert all(1 <= int(record_no) <= written.received for (record_no,) in told)
    return written.received, written.landed, written.rejected, rows(output)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(content='"\n1,1,a\n', key="[A]")
@given(content=FILES, key=st.sampled_from(["[A]", "whole row"]))
def test_received_is_landed_and_rejected_and_numbers_are_contiguous(folder: Path, content: str, key: str) -> None:
    contract = make_contract(folder, CONTRACT % key)
    try:
        received, landed, rejected, found = land(folder, contract, content)
    except ContractError as error:
        # Refused as a whole is an answer too, but only where no reading is the right one.
        assert "cannot be read in one way only" in str(error)
        pytest.fail(f"refused: {content!r}")
    assert received == landed + rejected
    assert [row[-1] for row in found] == list(range(101, 101 + landed))
    if key == "[A]":
        assert len({row[0] for row in found}) == landed


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.tuples(SOUND, SOUND, st.integers(-(10**17), 10**17)), max_size=10))
def test_whatever_was_quoted_soundly_lands_unchanged(folder: Path, values: list[tuple[str, str, int]]) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace('"', '""') + '"'

    contract = make_contract(folder, CONTRACT % "whole row")
    content = "".join(f"{quoted('x' + a)},{quoted(b)},{c}\n" for a, b, c in values)
    received, landed, rejected, found = land(folder, contract, content)
    assert (received, landed, rejected) == (len(values), len(values), 0)
    assert [row[:3] for row in found] == [("x" + a, b or None, c) for a, b, c in values]
