from pathlib import Path

import pytest
from landing_helpers import CONTRACT, make_contract

from etl.config import settings
from etl.errors import ContractError, UsageError
from etl.land import load_contract


def test_the_contract_of_synthea_names_its_18_tables_and_merges_and_requires_two() -> None:
    contract = load_contract(settings(), "synthea")
    assert len(contract.tables) == 19
    assert [name for name, table in contract.tables.items() if table.required] == ["patients", "encounters"]


def test_no_identifying_column_of_a_patient_is_landed() -> None:
    patients = load_contract(settings(), "synthea").tables["patients"]
    landed = {column.lower for column in patients.columns}
    assert not landed & {"ssn", "drivers", "passport", "first", "middle", "last", "maiden", "address", "lat", "lon"}
    assert {"ssn", "first", "last", "address"} <= patients.pii


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("type: integer}", "type: number}", "stays.BEDS has the type number"),
        ("key: [Id]", "key: [Nr]", "stays.key names Nr"),
        ("key: [Id]", "key: []", "stays.key must be"),
        ("person: PATIENT", "person: WHO", "stays.person names WHO"),
        ("change: snapshot", "change: nightly", "stays.change must be one of snapshot, append"),
        ("business_date: START", "business_date: PATIENT", "neither a date nor a timestamp"),
        ("pii: [SSN]", "pii: [note]", "stays.NOTE is listed under pii"),
        ("file: stays", "file: ../stays", "stays.file must be a file name"),
        ("source: clinic", "source: a/b", "source must be a name"),
        ("source: clinic", "source: clinic\nencoding: utf-9", "unknown encoding utf-9"),
        ("source: clinic", "source: clinic\nencodings: utf-8", "has encodings, which is not one of"),
        ("share: 0.1", "share: 7", "reject_limit"),
        ("aliases: [PRICE]", "aliases: [beds]", "the column beds twice"),
        ("decimal(8,2)", "decimal(8,9)", "stays.COST has the type decimal(8,9)"),
    ],
)
def test_a_fault_in_the_contract_is_told_with_its_place(tmp_path: Path, old: str, new: str, named: str) -> None:
    assert old in CONTRACT
    with pytest.raises(ContractError) as error:
        make_contract(tmp_path, CONTRACT.replace(old, new, 1))
    assert named in str(error.value)
    assert "sources/clinic/tables.yml" in str(error.value)


def test_a_contract_that_is_no_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"line .* is not valid YAML"):
        make_contract(tmp_path, "source: clinic\ntables: {stays: [\n")


def test_an_unknown_source_is_told_and_a_path_is_no_source() -> None:
    with pytest.raises(ContractError, match=r"no contract sources/nowhere/tables\.yml"):
        load_contract(settings(), "nowhere")
    with pytest.raises(UsageError):
        load_contract(settings(), "../synthea")


def test_the_contract_hash_follows_columns_and_key_but_not_comments_or_limits(tmp_path: Path) -> None:
    base = make_contract(tmp_path).tables["stays"].contract_hash
    assert make_contract(tmp_path, CONTRACT.replace("share: 0.1", "share: 0.2")).tables["stays"].contract_hash == base
    assert make_contract(tmp_path, "# a comment\n" + CONTRACT).tables["stays"].contract_hash == base
    changed = make_contract(tmp_path, CONTRACT.replace("decimal(8,2)", "decimal(9,2)"))
    assert changed.tables["stays"].contract_hash != base
    assert changed.tables["remarks"].contract_hash == make_contract(tmp_path).tables["remarks"].contract_hash


def test_few_rows_may_be_rejected_but_never_more_than_half_of_a_file(tmp_path: Path) -> None:
    contract = make_contract(tmp_path)  # 10 % or 3 rows
    assert [contract.allowed_rejects(rows) for rows in (0, 1, 2, 5, 6, 30, 100)] == [0, 0, 1, 2, 3, 3, 10]
