from pathlib import Path

import pytest

from etl.land.records import CONTROL, QUOTES, TOO_FEW, TOO_MANY, records, survey, survey_lines, write_well_formed


def read(tmp_path: Path, content: bytes, fields: int = 3) -> list[tuple[int, int, bytes, str | None]]:
    path = tmp_path / "file.csv"
    path.write_bytes(content)
    return [(r.record_no, r.line_no, r.raw, r.reason) for r in records(path, fields)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"1,2,3", None),
        (b"1,2,", None),
        (b",,", None),
        (b"1,2", TOO_FEW),
        (b"1,2,3,4", TOO_MANY),
        (b"1,2,3,", None),
        (b'1,"2,5",3', None),
        (b'"1","2""","3"', None),
        (b'1,5" pipe,3', None),
        (b'"1",2', TOO_FEW),
        (b'"1",2,3,4', TOO_MANY),
        (b'1,"2"x,3', QUOTES),
        (b'1,"2,3', QUOTES),
        (b"1,\0,3", CONTROL),
        (b"1,a\rb,3", CONTROL),
    ],
)
def test_a_line_is_a_record_or_malformed_for_a_reason(tmp_path: Path, line: bytes, reason: str | None) -> None:
    assert read(tmp_path, b"a,b,c\n" + line + b"\n9,9,9\n") == [(1, 2, line, reason), (2, 3, b"9,9,9", None)]


def test_a_record_goes_on_over_lines_and_the_next_one_knows_its_line(tmp_path: Path) -> None:
    content = b'a,b,c\n1,"x\n\ny",3\n4,5,6\n7,8\n'
    assert read(tmp_path, content) == [
        (1, 2, b'1,"x\n\ny",3', None),
        (2, 5, b"4,5,6", None),
        (3, 6, b"7,8", TOO_FEW),
    ]


def test_an_open_quote_costs_one_line_and_not_the_rest_of_the_file(tmp_path: Path) -> None:
    content = b'a,b,c\n1,"open,3\n4,"sound",6\n7,8,9\n'
    assert [(r[1], r[3]) for r in read(tmp_path, content)] == [(2, QUOTES), (3, None), (4, None)]


def test_blank_lines_and_windows_line_ends_are_no_records(tmp_path: Path) -> None:
    assert read(tmp_path, b"a,b,c\r\n\r\n1,2,3\r\n\n4,5,6") == [(1, 3, b"1,2,3", None), (2, 5, b"4,5,6", None)]


def test_a_survey_counts_and_keeps_what_it_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(b"a,b\n1,2\n3\n4,5\n6\n7,8\n")
    found = survey(path, 2, {3: "wanted"}, keep=2)
    assert (found.well_formed, dict(found.malformed), found.received) == (3, {TOO_FEW: 2}, 5)
    assert [(reject.record_no, reject.reason) for reject in found.rejects] == [(2, TOO_FEW), (4, TOO_FEW)]
    write_well_formed(path, 2, tmp_path / "clean.csv")
    assert (tmp_path / "clean.csv").read_bytes() == b"a,b\n1,2\n4,5\n7,8\n"


def test_known_malformed_lines_give_the_same_answer_as_going_through_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(b"a,b\n1\n2,2\n3,3\n4\n5\n6,6\n7,7,7\n8,8\n")
    wanted = {1: "first", 2: "second", 3: "third", 4: "last"}
    slow = survey(path, 2, wanted, keep=9)
    assert survey_lines(path, 2, wanted, [2, 5, 6, 8], slow.well_formed, keep=9) == slow
    assert [reject.line_no for reject in slow.rejects] == list(range(2, 10))


def test_a_line_wrongly_said_to_be_malformed_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(b"a,b\n1,1\n2\n")
    assert survey_lines(path, 2, {}, [2], 1, keep=9) is None
