"""A table in several files is one delivery, landed as if it had never been split."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from landing_helpers import HEADER, Clinic, csv, rows, stays

from etl.errors import ContractError
from etl.land.lines import Place, lines_path, place_of_row
from etl.land.parts import prepare_delivery
from etl.land.source_file import prepare


@pytest.mark.parametrize("names", [("stays.1.csv", "stays.2.csv"), ("STAYS_1.CSV", "stays_2.csv.gz")])
def test_parts_are_one_batch_in_the_order_of_their_numbers(clinic: Clinic, names: tuple[str, str]) -> None:
    result = clinic.land({names[1]: csv(*stays(2, first=3)), names[0]: csv(*stays(2))})
    (landed,) = result.batches
    assert landed.file_name == f"{names[0]} to {names[1]} (2 parts)"
    assert (landed.received, landed.landed) == (4, 4)
    assert rows(landed.path, "id, source_row_id") == [(f"s{n}", n) for n in range(1, 5)]


def test_part_10_comes_after_part_9(clinic: Clinic) -> None:
    files = {f"stays_{n}.csv": csv(*stays(1, first=n)) for n in range(1, 12)}
    landed = clinic.land(files).batches[0]
    assert [row[0] for row in rows(landed.path, "id")] == [f"s{n}" for n in range(1, 12)]


def test_a_file_that_is_split_between_two_lines_is_the_same_batch(clinic: Clinic) -> None:
    whole = clinic.land({"stays.csv": csv(*stays(4))}).batches[0]
    parts = clinic.land({"stays_1.csv": csv(*stays(1)), "stays_2.csv": csv(*stays(3, first=2))}).batches[0]
    assert (parts.batch_id, parts.is_new) == (whole.batch_id, False)


def test_a_part_without_a_last_line_end_does_not_run_into_the_next(clinic: Clinic) -> None:
    landed = clinic.land({"stays_1.csv": csv(*stays(2)).rstrip("\n"), "stays_2.csv": csv(*stays(1, first=3))})
    assert landed.landed == 3


def test_a_rejected_row_of_a_part_is_told_with_the_parts_file_record_and_line(clinic: Clinic) -> None:
    two = csv('s3,2020-01-02,,p1,1,1,"two\nlines"', "x,2023,,p1,1,1,", *stays(1), *stays(1, first=5))
    landed = clinic.land({"stays_1.csv": csv(*stays(2)), "stays_2.csv": two, "stays_3.csv": HEADER + "\n"}).batches[0]
    assert clinic.rejects(landed) == [
        ("stays_2.csv", 2, 4, "START is not a timestamp"),
        ("stays_2.csv", 3, 5, "duplicate row"),
    ]
    assert (landed.received, landed.landed, landed.rejected) == (6, 4, 2)
    path = lines_path(clinic.settings, "clinic", "stays", landed.batch_id)
    assert [place_of_row(path, row_id) for row_id in (2, 3, 4)] == [
        Place("stays_1.csv", 2, 3),
        Place("stays_2.csv", 1, 2),
        Place("stays_2.csv", 4, 6),
    ]


def test_parts_may_have_other_line_ends_encodings_and_byte_order_marks(clinic: Clinic) -> None:
    files = {"stays_1.csv": csv(*stays(2), end="\r\n"), "stays_2.csv": "\ufeff" + csv(*stays(2, first=3))}
    landed = clinic.land(files).batches[0]
    assert rows(landed.path, "id, note") == [(f"s{n}", f"note {n}") for n in range(1, 5)]


def told(clinic: Clinic, *names: str) -> str:
    with pytest.raises(ContractError) as error:
        clinic.land({name: csv(*stays(1, first=n)) for n, name in enumerate(names, start=1)})
    assert clinic.batches() == 0
    return str(error.value)


def test_a_missing_part_is_told(clinic: Clinic) -> None:
    assert "has no part 2 of the table stays: stays_1.csv and stays_3.csv." in told(
        clinic, "stays_1.csv", "stays_3.csv"
    )
    assert "has no part 1 of the table stays: stays_2.csv." in told(clinic, "stays_2.csv")
    assert "has a part 0 of the table stays" in told(clinic, "stays_0.csv", "stays_1.csv")


def test_two_namings_at_once_are_told_with_the_files(clinic: Clinic) -> None:
    assert "stays.csv and stays_1.csv: only one can be" in told(clinic, "stays.csv", "stays_1.csv")
    assert "stays.1.csv and stays_2.csv: only one can be" in told(clinic, "stays.1.csv", "stays_2.csv")
    assert "stays_1.csv and stays_1.csv.gz: only one can" in told(clinic, "stays_1.csv", "stays_1.csv.gz")


def test_a_part_with_another_header_is_refused(clinic: Clinic) -> None:
    other = csv("2020-01-02,s9,,p1,1,1,", header=HEADER.replace("Id,START", "START,Id"))
    with pytest.raises(ContractError, match=r"stays_2\.csv has another header than stays_1\.csv\."):
        clinic.land({"stays_1.csv": csv(*stays(1)), "stays_2.csv": other})
    assert clinic.batches() == 0


def test_files_of_other_tables_are_no_parts(clinic: Clinic) -> None:
    result = clinic.land(
        {
            "stays.csv": csv(*stays(1)),
            "stays_old.csv": "x\n",
            "stays_1_2.csv": "x\n",
            "remarks_1.csv": "TEXT,NUMBER\na,1\n",
        }
    )
    assert [(batch.table, batch.file_name) for batch in result.batches] == [
        ("stays", "stays.csv"),
        ("remarks", "remarks_1.csv"),
    ]


@pytest.mark.property
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(st.text(alphabet='a," \ré', max_size=6), max_size=8), cuts=st.lists(st.integers(0, 8), max_size=3)
)
def test_splitting_between_lines_changes_neither_text_nor_counts(
    tmp_path: Path, lines: list[str], cuts: list[int]
) -> None:
    whole = tmp_path / "t.csv"
    whole.write_bytes("".join(f"{line}\n" for line in ["H", *lines]).encode())
    edges = [0, *sorted(cut for cut in cuts if cut <= len(lines)), len(lines)]
    paths = []
    for number, (start, stop) in enumerate(pairwise(edges), start=1):
        paths.append(tmp_path / f"t_{number}.csv")
        paths[-1].write_bytes("".join(f"{line}\n" for line in ["H", *lines[start:stop]]).encode())
    one = prepare(whole, "utf-8", tmp_path / "spool")
    several = prepare_delivery(tuple(paths), "utf-8", tmp_path / "joined")
    assert several.path.read_bytes() == whole.read_bytes()
    assert (several.content_hash, several.lines, several.plain) == (one.content_hash, one.lines, one.plain)
