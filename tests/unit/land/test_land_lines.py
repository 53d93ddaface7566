"""From a landed row to its line and back, as Python's csv reader counts lines."""

import csv
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from landing_helpers import HEADER, Clinic, make_contract, rows, stays
from landing_helpers import csv as file_of

from etl.land import LandedBatch
from etl.land.csv_files import land_file
from etl.land.lines import Found, Place, lines_path, place_of_row, row_at_line, write_lines
from etl.land.parts import prepare_delivery, read_headers

CONTRACT = """
source: clinic
reject_limit: {share: 1, rows: 1000}
tables:
  t:
    file: t
    key: [A]
    change: snapshot
    columns:
      A: {type: text, required: true}
      B: {type: text}
      C: {type: integer}
"""

# What a record is, and what it looks like: sound ones, rejected ones, and lines that are no record.
KINDS = st.sampled_from(["plain", "plain", "two lines", "four lines", "bad", "short", "again", "long bad", "blank"])
FILES = st.lists(st.lists(KINDS, max_size=8), min_size=1, max_size=3)


def text_of(kind: str, number: int) -> str:
    return {
        "plain": f"r{number},x,1",
        "two lines": f'r{number},"x\ny",1',
        "four lines": f'r{number},"x\r\n\n""y"",\nz",1',
        "bad": f"r{number},x,many",
        "long bad": f'r{number},"x\ny",many',
        "short": f"r{number},x",
        "again": "r0,x,1",
        "blank": "",
    }[kind]


def starts(text: str) -> list[tuple[int, int, list[str]]]:
    """Record number, first line and last line's end of each record after the header, by Python's reader."""
    reader, found, before = csv.reader(io.StringIO(text, newline="")), [], 0
    for record in reader:
        start, before = before + 1, reader.line_num
        if record:
            found.append((start, before, record))
    return found[1:]


def places(clinic: Clinic, batch: LandedBatch) -> list[Place | None]:
    path = lines_path(clinic.settings, "clinic", batch.table, batch.batch_id)
    first = batch.first_source_row_id
    return [place_of_row(path, row_id) for row_id in range(first, first + batch.landed)]


@pytest.mark.property
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=FILES, end=st.sampled_from(["\n", "\r\n"]), last=st.booleans())
def test_every_row_leads_to_its_line_and_every_line_to_its_row(
    home: Path, files: list[list[str]], end: str, last: bool
) -> None:
    number, texts = 0, []
    for kinds in files:
        records = ["A,B,C"]
        for kind in kinds:
            number += 1
            records.append(text_of(kind, number))
        texts.append(end.join(records) + (end if last else ""))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        contract = make_contract(folder, CONTRACT)
        table, paths = contract.tables["t"], tuple(folder / f"t_{n}.csv" for n in range(1, len(texts) + 1))
        for path, text in zip(paths, texts, strict=True):
            path.write_bytes(text.encode("utf-8"))
        output, rejects, beside = folder / "t.parquet", folder / "rejects.parquet", folder / "lines.parquet"
        written = land_file(
            contract,
            table,
            read_headers(contract, table, paths),
            prepare_delivery(paths, "utf-8", folder / "spool"),
            file_name="t",
            first_row_id=101,
            output=output,
            rejects=rejects,
        )
        write_lines(written.lines, beside)
        landed = dict(rows(output, "source_row_id, a"))
        refused = rows(rejects, "file, record_no, line_no") if rejects.exists() else []
        expected: dict[tuple[str, int], tuple[int, int]] = {}
        for path, text in zip(paths, texts, strict=True):
            covered = set()
            for record_no, (start, stop, record) in enumerate(starts(text), start=1):
                covered.update(range(start, stop + 1))
                expected[path.name, record_no] = (start, stop)
                for line in range(start, stop + 1):
                    found = row_at_line(beside, path.name, line, 101 + len(landed))
                    assert found is not None
                    assert found.record_no == record_no
                    assert landed.get(found.row_id or 0) in (record[0], None)
                    assert (found.row_id is None) == ((path.name, record_no, start) in refused)
            for line in set(range(2, text.count("\n") + 4)) - covered:
                assert row_at_line(beside, path.name, line, 101 + len(landed)) == Found(None, None)
        for row_id, key in landed.items():
            place = place_of_row(beside, row_id)
            assert place is not None
            assert expected[place.file, place.record_no][0] == place.line_no
            assert (place.file, place.record_no, place.line_no) not in refused
            assert row_at_line(beside, place.file, place.line_no, 101 + len(landed)) == Found(row_id, place.record_no)
            assert key == "r0" or key.startswith("r")
        assert len(landed) + len(refused) == len(expected)


def test_a_file_without_anything_odd_has_one_stretch(clinic: Clinic) -> None:
    landed = clinic.land({"stays.csv": file_of(*stays(5))}).batches[0]
    path = lines_path(clinic.settings, "clinic", "stays", landed.batch_id)
    assert rows(path) == [(1, "stays.csv", 1, 2), (None, "stays.csv", None, 7)]
    assert places(clinic, landed) == [Place("stays.csv", n, n + 1) for n in range(1, 6)]


def test_rejected_rows_and_later_duplicates_shift_the_lines_of_those_after(clinic: Clinic) -> None:
    content = file_of(*stays(2), "bad,2020,,p,1,1,", *stays(1), *stays(2, first=3))
    landed = clinic.land({"stays.csv": content}).batches[0]
    assert [place.line_no for place in places(clinic, landed) if place] == [2, 3, 6, 7]


def test_a_lost_batch_that_is_restored_has_its_lines_again(clinic: Clinic) -> None:
    content = file_of(*stays(2), 's3,2020-01-02,,p1,1,1,"two\nlines"', *stays(1, first=4))
    landed = clinic.land({"stays.csv": content}).batches[0]
    before = places(clinic, landed)
    landed.path.unlink()
    lines_path(clinic.settings, "clinic", "stays", landed.batch_id).unlink()
    again = clinic.land({"stays.csv": content}).batches[0]
    assert places(clinic, again) == before
    assert [place.line_no for place in before if place] == [2, 3, 4, 6]


def test_a_header_alone_has_no_rows_and_no_records(clinic: Clinic) -> None:
    landed = clinic.land({"stays.csv": HEADER + "\n"}).batches[0]
    path = lines_path(clinic.settings, "clinic", "stays", landed.batch_id)
    assert row_at_line(path, "stays.csv", 2, 1) == Found(None, None)
    assert row_at_line(path, "other.csv", 2, 1) is None
    assert place_of_row(path, 1) is None
