"""The current state of a table after several batches."""

from dataclasses import replace
from pathlib import Path

import pytest
from landing_helpers import CONTRACT, Clinic, csv, make_contract, rows, stays

from etl.errors import CdmflowError
from etl.land import business_date, current_tables


def current(clinic: Clinic, batch_ids: list[int], run: str = "run") -> dict[str, list[Path]]:
    return current_tables(clinic.settings, clinic.engine, clinic.contract, batch_ids, clinic.root / run)


def remarks(clinic: Clinic, *texts: str) -> int:
    """Land a `remarks` file with these texts; its batch id."""
    content = "TEXT,NUMBER\n" + "".join(f"{text},1\n" for text in texts)
    landed = clinic.land({"stays.csv": csv(*stays(1)), "remarks.csv": content})
    return landed.batches[1].batch_id


def test_one_batch_is_its_own_current_state(clinic: Clinic) -> None:
    landed = clinic.land({"stays.csv": csv(*stays(2))})
    assert current(clinic, list(landed.batch_ids))["stays"] == [landed.batches[0].path]


def test_a_table_without_a_batch_is_empty_with_the_contracts_columns(clinic: Clinic) -> None:
    landed = clinic.land({"stays.csv": csv(*stays(2))})
    (path,) = current(clinic, list(landed.batch_ids))["remarks"]
    assert rows(path, "text, number, source_row_id") == []


def test_a_key_has_its_newest_values_and_its_first_number_and_a_missing_one_is_gone(clinic: Clinic) -> None:
    first = clinic.land({"stays.csv": csv("a,2020-01-01,,p1,1,1,old", "b,2020-01-01,,p1,1,1,gone")}).batch_ids[0]
    second = clinic.land({"stays.csv": csv("c,2020-01-01,,p1,1,1,late", "a,2020-01-01,,p1,1,1,new")}).batch_ids[0]
    (path,) = current(clinic, [first, second])["stays"]
    assert sorted(rows(path, "id, note, source_row_id")) == [("a", "new", 1), ("c", "late", 3)]


def test_a_key_that_comes_back_has_its_first_number(clinic: Clinic) -> None:
    ids = [
        clinic.land({"stays.csv": csv(*rows_)}).batch_ids[0]
        for rows_ in (stays(2), stays(1), [*stays(2), *stays(1, 9)])
    ]
    (path,) = current(clinic, ids)["stays"]
    assert sorted(rows(path, "id, source_row_id")) == [("s1", 1), ("s2", 2), ("s9", 6)]


def test_the_same_batches_in_another_order_are_another_state(clinic: Clinic) -> None:
    first = clinic.land({"stays.csv": csv(*stays(1))}).batch_ids[0]
    second = clinic.land({"stays.csv": csv(*stays(1, first=5))}).batch_ids[0]
    (path,) = current(clinic, [first, second, first], "back")["stays"]
    assert rows(path, "id, source_row_id") == [("s1", 1)]
    (path,) = current(clinic, [first, second], "forth")["stays"]
    assert rows(path, "id, source_row_id") == [("s5", 2)]


def test_equal_rows_of_a_whole_row_table_are_told_apart_by_their_order(clinic: Clinic) -> None:
    first = remarks(clinic, "a", "a", "b")
    second = remarks(clinic, "c", "a", "a", "a")
    (path,) = current(clinic, [first, second])["remarks"]
    assert sorted(rows(path, "text, source_row_id")) == [("a", 1), ("a", 2), ("a", 7), ("c", 4)]


@pytest.mark.parametrize("table", ["stays", "remarks"])
def test_what_is_appended_to_loses_nothing(clinic: Clinic, tmp_path: Path, table: str) -> None:
    clinic.contract = make_contract(tmp_path, CONTRACT.replace("change: snapshot", "change: append"))
    one = clinic.land({"stays.csv": csv(*stays(2)), "remarks.csv": "TEXT,NUMBER\na,1\na,1\n"})
    two = clinic.land({"stays.csv": csv("s2,2020-01-01,,p1,1,1,new"), "remarks.csv": "TEXT,NUMBER\na,1\n"})
    paths = current(clinic, [*one.batch_ids, *two.batch_ids])[table]
    if table == "stays":
        assert sorted(rows(paths[0], "id, note, source_row_id")) == [("s1", "note 1", 1), ("s2", "new", 2)]
    else:
        found = [row for path in paths for row in rows(path, "text, source_row_id")]
        assert sorted(found) == [("a", 1), ("a", 2), ("a", 3)]


def test_a_batch_of_an_older_contract_has_null_in_the_new_column(clinic: Clinic, tmp_path: Path) -> None:
    old = clinic.land({"stays.csv": csv(*stays(1))}).batch_ids[0]
    clinic.contract = make_contract(
        tmp_path, CONTRACT.replace("NOTE: {type: text, optional: true}", "WARD: {type: text, optional: true}")
    )
    (path,) = current(clinic, [old])["stays"]
    assert rows(path, "id, ward, source_row_id") == [("s1", None, 1)]


def test_an_unknown_batch_and_a_lost_file_are_told(clinic: Clinic) -> None:
    with pytest.raises(CdmflowError, match="clinic has no batch 77"):
        current(clinic, [77])
    landed = clinic.land({"stays.csv": csv(*stays(1))}).batches[0]
    landed.path.unlink()
    with pytest.raises(CdmflowError, match="is not in the lake"):
        current(clinic, [landed.batch_id])


def test_the_business_date_is_the_newest_of_the_batches(clinic: Clinic) -> None:
    first = clinic.land({"stays.csv": csv("a,2021-05-05,,p1,1,1,")}).batch_ids[0]
    second = clinic.land({"stays.csv": csv("a,2020-05-05,,p1,1,1,")}).batch_ids[0]
    assert str(business_date(clinic.engine, [first, second])) == "2021-05-05"
    assert business_date(clinic.engine, []) is None


def test_the_contract_of_a_batch_is_part_of_what_makes_it_the_same(clinic: Clinic) -> None:
    first = clinic.land({"stays.csv": csv(*stays(1))}).batch_ids[0]
    tables = dict(clinic.contract.tables)
    tables["stays"] = replace(tables["stays"], columns=tables["stays"].columns[:-1])
    clinic.contract = replace(clinic.contract, tables=tables)
    assert clinic.land({"stays.csv": csv(*stays(1))}).batch_ids[0] != first


def test_what_is_not_appended_to_the_state_lends_numbers_only(clinic: Clinic, tmp_path: Path) -> None:
    clinic.contract = make_contract(tmp_path, CONTRACT.replace("change: snapshot", "change: append"))
    clinic.land({"stays.csv": csv("s1,2020-01-01,,p1,1,1,refused", "s9,2020-01-01,,p1,1,1,refused")})
    good = clinic.land({"stays.csv": csv("s1,2020-01-01,,p1,1,1,good", "s2,2020-01-01,,p1,1,1,good")})
    late = clinic.land({"stays.csv": csv("s2,2020-01-01,,p1,1,1,late")})
    (path,) = current_tables(
        clinic.settings, clinic.engine, clinic.contract, [*good.batch_ids, *late.batch_ids], clinic.root / "run"
    )["stays"]
    assert sorted(rows(path, "id, note, source_row_id")) == [("s1", "good", 1), ("s2", "late", 4)]


def test_a_watermark_tells_the_newest_version_whenever_it_arrives(clinic: Clinic, tmp_path: Path) -> None:
    clinic.contract = make_contract(tmp_path, CONTRACT.replace("change: snapshot", "change: {watermark: START}", 1))
    newest = clinic.land({"stays.csv": csv("a,2020-03-01,,p1,1,1,newest", "b,2020-03-01,,p1,1,1,first")}).batch_ids[0]
    older = clinic.land({"stays.csv": csv("a,2020-01-01,,p1,1,1,older", "b,2020-03-01,,p1,1,1,again")}).batch_ids[0]
    (path,) = current(clinic, [newest, older])["stays"]
    assert sorted(rows(path, "id, note, source_row_id")) == [("a", "newest", 1), ("b", "again", 2)]
