"""What the first lines of landing promise, on the small clinic and a real PostgreSQL."""

import datetime
from dataclasses import replace
from decimal import Decimal

import pytest
from landing_helpers import HEADER, Clinic, csv, rows, stays
from sqlalchemy import select

from etl.land import LandedBatch, land_folder
from etl.state import batch, reject_count


def test_a_file_lands_typed_with_contiguous_numbers_in_the_order_of_the_file(clinic: Clinic) -> None:
    result = clinic.land({"stays.csv": csv(*stays(3))})
    assert (result.received, result.landed, result.rejected) == (3, 3, {})
    start, day, cost = datetime.datetime(2020, 1, 2, 3, 4, 5), datetime.date(2020, 1, 2), Decimal("10.50")
    assert rows(result.batches[0].path) == [
        ("s1", start, day, "p1", 1, cost, "note 1", 1),
        ("s2", start, day, "p2", 2, cost, "note 2", 2),
        ("s3", start, day, "p0", 3, cost, "note 3", 3),
    ]
    assert result.missing_message == "No file for remarks.csv: these tables count as empty."


def test_the_batch_row_tells_what_was_landed(clinic: Clinic) -> None:
    landed = clinic.land({"stays.csv": csv(*stays(3), "s4,2020-02-30T00:00:00Z,,p1,1,1,")}).batches[0]
    with clinic.engine.connect() as state:
        row = state.execute(select(batch)).one()
        counted = state.execute(select(reject_count.c.reason, reject_count.c.rows)).all()
    assert (row.source, row.table_name, row.file_name, row.run_id) == ("clinic", "stays", "stays.csv", "test")
    assert (row.received_rows, row.landed_rows, row.rejected_rows, row.first_source_row_id) == (4, 3, 1, 1)
    assert row.business_date == landed.business_date == datetime.date(2020, 1, 2)
    assert [tuple(c) for c in counted] == [("START is an impossible date", 1)]


@pytest.mark.parametrize(
    "name",
    ["stays.csv", "Stays.CSV", "stays.csv.gz"],
)
def test_plain_and_packed_files_of_the_same_content_are_the_same_batch(clinic: Clinic, name: str) -> None:
    first = clinic.land({"stays.csv": csv(*stays(3))}).batches[0]
    again = clinic.land({name: csv(*stays(3))}).batches[0]
    assert (again.batch_id, again.is_new) == (first.batch_id, False)
    assert clinic.batches() == 1


def test_a_lost_file_of_a_known_batch_is_restored_with_its_numbers(clinic: Clinic) -> None:
    clinic.land({"stays.csv": csv(*stays(2))})
    second = clinic.land({"stays.csv": csv(*stays(3, first=7))}).batches[0]
    before = rows(second.path)
    second.path.unlink()
    restored = clinic.land({"stays.csv": csv(*stays(3, first=7))}).batches[0]
    assert restored.batch_id == second.batch_id
    assert rows(restored.path) == before
    assert clinic.batches() == 2


def test_numbers_go_on_after_the_last_batch_and_count_landed_rows_only(clinic: Clinic) -> None:
    clinic.land({"stays.csv": csv(*stays(3), "s4,bad,,p1,1,1,")})
    second = clinic.land({"stays.csv": csv(*stays(2, first=8))}).batches[0]
    assert second.first_source_row_id == 4
    assert [row[-1] for row in rows(second.path)] == [4, 5]


def test_columns_match_in_any_case_and_order_and_by_alias(clinic: Clinic) -> None:
    content = "price,PATIENT,day,BEDS,id,Start\n7.25,p1,2020-01-02,4,s1,2020-01-02 03:04:05\n"
    landed = clinic.land({"stays.csv": content}).batches[0]
    assert rows(landed.path, "id, patient, beds, cost, note") == [("s1", "p1", 4, Decimal("7.25"), None)]


def test_identifying_columns_are_left_out_and_unknown_ones_are_named_once(clinic: Clinic) -> None:
    clinic.land({"stays.csv": csv("s1,2020-01-02,,p1,1,1,,999-00", header=HEADER + ",SSN")})
    landed = clinic.land({"stays.csv": csv("s2,2020-01-02,,p1,1,1,,999-00,x", header=HEADER + ",SSN,WARD")})
    assert landed.ignored == {"stays": ("WARD",)}
    assert landed.new_columns == {"stays": ("WARD",)}
    with clinic.engine.connect() as state:
        assert state.execute(select(batch.c.ignored_columns)).scalars().all() == [[], ["WARD"]]
    assert "999-00" not in str(rows(landed.batches[0].path))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2023-01-27T16:17:47Z", datetime.datetime(2023, 1, 27, 16, 17, 47)),
        ("2023-01-27 16:17:47", datetime.datetime(2023, 1, 27, 16, 17, 47)),
        ("2023-01-27T16:17:47.250Z", datetime.datetime(2023, 1, 27, 16, 17, 47, 250000)),
        ("2023-01-27", datetime.datetime(2023, 1, 27)),
        ("2024-02-29", datetime.datetime(2024, 2, 29)),
    ],
)
def test_timestamps_keep_their_local_time(clinic: Clinic, text: str, value: datetime.datetime) -> None:
    landed = clinic.land({"stays.csv": csv(f"s1,{text},,p1,1,1,")}).batches[0]
    assert rows(landed.path, "start") == [(value,)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("x,2023-1-7,,p1,1,1,", "START is not a timestamp"),
        ("x,2023,,p1,1,1,", "START is not a timestamp"),
        ("x,2023-01-27T24:00:00,,p1,1,1,", "START is not a timestamp"),
        ("x, 2023-01-27,,p1,1,1,", "START is not a timestamp"),
        ("x,2023-02-29,,p1,1,1,", "START is an impossible date"),
        ("x,,,p1,1,1,", "START is empty"),
        ("x,2023-01-27,27.01.2023,p1,1,1,", "DAY is not a date"),
        ("x,2023-01-27,2023-13-01,p1,1,1,", "DAY is an impossible date"),
        ("x,2023-01-27,2023-01-27T00:00:00,p1,1,1,", "DAY is not a date"),
        ("x,2023-01-27,,p1,12.5,1,", "BEDS is not an integer"),
        ("x,2023-01-27,,p1,0x10,1,", "BEDS is not an integer"),
        ("x,2023-01-27,,p1,1,1e3,", "COST is not a decimal(8,2)"),
        ("x,2023-01-27,,p1,1,'1,", "COST is not a decimal(8,2)"),
        ("x,2023-01-27,,p1,1,1234567.00,", "COST is not a decimal(8,2)"),
        ("x,2023-01-27,,p1,1,999999.999,", "COST is out of range"),
        (",2023-01-27,,p1,1,1,", "Id is empty"),
        ("x,2023-01-27,,  ,1,1,", "PATIENT is empty"),
        ("x,2023-01-27,,p1,1", "too few fields"),
        ("x,2023-01-27,,p1,1,1,,9", "too many fields"),
        ('x,2023-01-27,,p1,1,1,"open', "quotes are broken"),
        ("s2,2020-01-02T03:04:05Z,2020-01-02,p2,2,10.50,note 2", "duplicate row"),
        ("s2,2020-01-02T03:04:05Z,2020-01-02,p2,2,10.50,other", "duplicate key"),
    ],
)
def test_a_bad_row_is_rejected_with_its_record_line_and_reason(clinic: Clinic, row: str, reason: str) -> None:
    content = csv(*stays(2), 's3,2020-01-02,,p1,1,1,"two\nlines"', row, *stays(2, first=5))
    landed = clinic.land({"stays.csv": content}).batches[0]
    assert clinic.rejects(landed) == [("stays.csv", 4, 6, reason)]
    assert (landed.received, landed.landed, landed.rejected, landed.reasons) == (6, 5, 1, {reason: 1})
    assert rows(landed.path, "id, source_row_id") == [("s1", 1), ("s2", 2), ("s3", 3), ("s5", 4), ("s6", 5)]


def test_several_kinds_of_bad_rows_keep_their_places(clinic: Clinic) -> None:
    bad = ["x,2023", "s1,2020-01-02,,p1,1,1,", "y,2023-02-29,,p1,1,1,"]
    content = csv(*stays(10), bad[0], *stays(10, first=11), bad[1], *stays(10, first=21), bad[2])
    landed = clinic.land({"stays.csv": content}).batches[0]
    assert clinic.rejects(landed) == [
        ("stays.csv", 11, 12, "too few fields"),
        ("stays.csv", 22, 23, "duplicate key"),
        ("stays.csv", 33, 34, "START is an impossible date"),
    ]
    assert rows(landed.path, "id, source_row_id") == [(f"s{n}", n) for n in range(1, 31)]


def test_equal_rows_of_a_whole_row_table_are_all_landed(clinic: Clinic) -> None:
    result = clinic.land({"stays.csv": csv(*stays(1)), "remarks.csv": "TEXT,NUMBER\na,1\na,1\na,1\n"})
    assert rows(result.batches[1].path) == [("a", 1, 1), ("a", 1, 2), ("a", 1, 3)]


def test_quotes_commas_and_line_breaks_inside_fields_are_kept(clinic: Clinic) -> None:
    note = 'a, "b"\r\nc\nd'
    quoted = note.replace('"', '""')
    landed = clinic.land({"stays.csv": csv(f'"s1",2020-01-02,"",p1,1,"1.5","{quoted}"', *stays(1, first=2))}).batches[0]
    assert rows(landed.path, "id, day, note")[0] == ("s1", None, note)
    assert landed.landed == 2


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_byte_order_mark_and_windows_line_ends_change_nothing(clinic: Clinic, start: str, end: str) -> None:
    landed = clinic.land({"stays.csv": start + csv(*stays(3), end=end) + end}).batches[0]
    assert rows(landed.path, "id, note") == [("s1", "note 1"), ("s2", "note 2"), ("s3", "note 3")]
    assert landed.received == 3


def test_mixed_line_ends_and_a_missing_last_one_are_read(clinic: Clinic) -> None:
    a, b, c = stays(3)
    landed = clinic.land({"stays.csv": f"{HEADER}\r\n{a}\n{b}\r\n{c}"}).batches[0]
    assert rows(landed.path, "id, note") == [("s1", "note 1"), ("s2", "note 2"), ("s3", "note 3")]


def test_a_bare_carriage_return_or_nul_costs_its_row_only(clinic: Clinic) -> None:
    bad = ["x,2020-01-02,,p1,1,1,a\rb", "y,2020-01-02,,p1,1,1,a\0b"]
    landed = clinic.land({"stays.csv": csv(*stays(9), *bad, *stays(9, first=10))}).batches[0]
    assert landed.reasons == {"a field holds a NUL or a bare carriage return": 2}
    assert [r[1:3] for r in clinic.rejects(landed)] == [(10, 11), (11, 12)]
    assert landed.landed == 18


@pytest.mark.parametrize(("encoding", "note"), [("cp949", "두통"), ("latin-1", "Übelkeit"), ("utf-16", "痛み")])
def test_a_declared_encoding_lands_as_unicode(clinic: Clinic, encoding: str, note: str) -> None:
    tables = {name: replace(table, encoding=encoding) for name, table in clinic.contract.tables.items()}
    clinic.contract = replace(clinic.contract, tables=tables)
    for name in ("stays.csv", "stays.csv.gz"):
        landed = clinic.land({name: csv(f"s1,2020-01-02,,p1,1,1,{note}").encode(encoding)}).batches[0]
        assert rows(landed.path, "note") == [(note,)]
    assert clinic.batches() == 1


def test_a_file_with_only_a_header_lands_as_no_rows(clinic: Clinic, caplog: pytest.LogCaptureFixture) -> None:
    landed = clinic.land({"stays.csv": HEADER + "\n"}).batches[0]
    assert (landed.received, landed.landed, landed.business_date) == (0, 0, None)
    assert rows(landed.path) == []
    assert "stays.csv has a header and no rows." in caplog.text


def test_progress_is_told_for_each_table(clinic: Clinic) -> None:
    told: list[LandedBatch] = []
    folder = clinic.folder({"stays.csv": csv(*stays(1)), "remarks.csv": "TEXT,NUMBER\na,1\n"})
    land_folder(clinic.settings, clinic.engine, clinic.contract, folder, run_id="r", workers=1, progress=told.append)
    assert sorted(landed.table for landed in told) == ["remarks", "stays"]


def test_a_mistyped_year_does_not_become_the_business_date(clinic: Clinic) -> None:
    landed = clinic.land({"stays.csv": csv(*stays(2), "s9,9999-12-31,,p1,1,1,")}).batches[0]
    assert landed.business_date == datetime.date(2020, 1, 2)
