"""Rows that the gate or the landing refused: recorded, shown, tried again, accepted, and gone once they are right."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny_hospital import TABLES, Hospital, Rows, write_tables, write_tiny_hospital
from typer.testing import CliRunner

from etl.cli import quarantine
from etl.config import PROJECT, Settings
from etl.errors import GateRefused, UsageError
from etl.pipeline import models
from etl.pipeline.execute import run_steps
from etl.pipeline.runs import Run, load_run
from etl.pipeline.trace import trace_line

pytestmark = pytest.mark.integration

CONDITIONS = TABLES["conditions"]
DIABETES = "44054006"
# p3 was born on 2001-12-31
IMPOSSIBLE = {"START": "1990-06-01", "STOP": "1990-06-02", "PATIENT": "p3", "ENCOUNTER": "e3", "CODE": DIABETES}
CORRECTED = IMPOSSIBLE | {"START": "2024-06-01", "STOP": "2024-06-02"}
BORN = "condition_occurrence.after_birth.condition_start_date"


def drop(folder: Path, **tables: Rows) -> Path:
    return write_tables(folder, tables)


def refused(own: Hospital, folder: Path) -> str:
    """Bring a night that the gate refuses; what it says."""
    with pytest.raises(GateRefused) as told:
        own.drop(folder)
    return str(told.value)


def call(*words: str) -> str:
    result = CliRunner().invoke(quarantine.app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def rows(own: Hospital, columns: str = "table_name, check_id, nights") -> list[tuple[object, ...]]:
    return own.query(f"SELECT {columns} FROM etl.quarantine ORDER BY quarantine_id")


def ids(own: Hospital, check: str = BORN) -> list[str]:
    return [
        str(number) for (number,) in own.query(f"SELECT quarantine_id FROM etl.quarantine WHERE check_id = '{check}'")
    ]


@pytest.fixture
def monday(own: Hospital, tmp_path: Path) -> Run:
    return own.run(write_tiny_hospital(tmp_path / "monday"))


@pytest.mark.usefixtures("monday")
def test_an_impossible_row_waits_until_its_correction_is_published(own: Hospital, tmp_path: Path) -> None:
    told = refused(own, drop(tmp_path / "tuesday", conditions=[*CONDITIONS, IMPOSSIBLE]))
    assert "source rows are in quarantine" in told
    waiting = rows(own, "table_name, check_id, nights, source_row_id, first_run = last_run")
    assert ("conditions", BORN, 1, 5, True) in waiting
    assert {row[0] for row in waiting} == {"conditions"} and {row[3] for row in waiting} == {5}

    assert own.drop(drop(tmp_path / "wednesday", observations=TABLES["observations"][:0])).status == "published"
    assert len(rows(own)) == len(waiting), "a night without conditions says nothing of the row"
    published = own.drop(drop(tmp_path / "thursday", conditions=[*CONDITIONS, CORRECTED]))
    assert (published.status, rows(own)) == ("published", [])


@pytest.mark.usefixtures("monday")
def test_a_row_is_counted_once_for_each_night_that_has_it(own: Hospital, tmp_path: Path) -> None:
    night = drop(tmp_path / "tuesday", conditions=[*CONDITIONS, IMPOSSIBLE])
    refused(own, night)
    [(first,)] = own.query("SELECT run_id FROM etl.run ORDER BY started_at DESC LIMIT 1")
    with pytest.raises(GateRefused):
        run_steps(first, resume=True)
    assert {row[2] for row in rows(own)} == {1}
    refused(own, night)
    assert {row[2] for row in rows(own)} == {2}
    assert {row[0] for row in rows(own, "first_run")} == {first}
    assert {row[0] for row in rows(own, "last_run")} != {first}


@pytest.mark.usefixtures("monday")
def test_a_row_that_is_delivered_no_more_leaves(own: Hospital, tmp_path: Path) -> None:
    refused(own, drop(tmp_path / "tuesday", conditions=[*CONDITIONS, IMPOSSIBLE]))
    own.drop(drop(tmp_path / "wednesday", conditions=CONDITIONS[:1]))
    assert rows(own) == []


@pytest.mark.usefixtures("monday")
def test_an_accepted_row_is_published_and_counts_no_more_for_as_long_as_it_is_there(
    own: Hospital, tmp_path: Path
) -> None:
    refused(own, drop(tmp_path / "tuesday", conditions=[*CONDITIONS, IMPOSSIBLE]))
    every = [str(number) for (number,) in rows(own, "quarantine_id")]
    call("accept", *every, "--reason", "the birth date is a stand-in")
    assert {row[:2] for row in rows(own, "accepted_reason, accepted_at IS NOT NULL")} == {
        ("the birth date is a stand-in", True)
    }
    assert "Release 2 is published" in call("retry", *every)
    assert own.query("SELECT count(*) FROM cdm.condition_occurrence WHERE condition_start_date = '1990-06-01'") == [
        (1,)
    ]
    assert own.query(
        f"SELECT violated, status, reason FROM etl.check_result JOIN etl.release USING (run_id) "
        f"WHERE check_id = '{BORN}' AND release_id = 2"
    ) == [(1, "passed", "1 more rows are accepted")]

    other = TABLES["observations"][0] | {"VALUE": "7.3"}
    assert own.drop(drop(tmp_path / "wednesday", observations=[other])).scope == "persons"
    assert len(rows(own)) == len(every), "another person's night does not take the acceptance away"
    own.run(None)
    assert len(rows(own)) == len(every)
    told = refused(own, drop(tmp_path / "thursday", conditions=[*CONDITIONS, IMPOSSIBLE, IMPOSSIBLE | {"CODE": "x"}]))
    assert f"{BORN}: 1 of 4" in told
    own.drop(drop(tmp_path / "friday", conditions=[*CONDITIONS, CORRECTED]))
    assert rows(own) == []


@pytest.mark.usefixtures("monday")
def test_what_cannot_be_accepted_is_refused_with_what_to_do_instead(own: Hospital, tmp_path: Path) -> None:
    broken = CONDITIONS[1] | {"START": "2024-13-45"}
    own.drop(drop(tmp_path / "tuesday", conditions=[CONDITIONS[0], broken]))
    [(reject,)] = rows(own, "quarantine_id")
    enforced = "condition_occurrence.foreign_key.person_id"
    own.execute(
        "INSERT INTO etl.quarantine (source, table_name, source_row_id, check_id, reason, first_run, last_run) "
        f"VALUES ('synthea', 'conditions', 1, '{enforced}', '', 'r', 'r')"
    )
    for number, why in (
        (str(reject), "did not land"),
        (ids(own, enforced)[0], "PostgreSQL enforces"),
        ("99", "not in"),
    ):
        with pytest.raises(UsageError, match=why):
            call("accept", number, "--reason", "it is fine")
    with pytest.raises(UsageError, match="needs a reason"):
        call("accept", ids(own, enforced)[0], "--reason", "  ")
    assert rows(own, "accepted_at") == [(None,), (None,)]


@pytest.mark.usefixtures("monday")
def test_a_rejected_record_shows_its_file_and_line_and_leaves_with_a_corrected_file(
    own: Hospital, tmp_path: Path
) -> None:
    broken = CONDITIONS[1] | {"START": "2024-13-45", "DESCRIPTION": "Zebulon Quickbottom"}
    own.drop(drop(tmp_path / "tuesday", conditions=[CONDITIONS[0], broken]))
    assert rows(own) == [("conditions", "landing.START is an impossible date", 1)]
    shown = call("show", ids(own, "landing.START is an impossible date")[0])
    assert "conditions.csv" in shown and "3 (record 2)" in shown and "--line 3" in shown
    own.drop(drop(tmp_path / "wednesday", observations=TABLES["observations"][:0]))
    assert [row[2] for row in rows(own)] == [2]
    own.drop(drop(tmp_path / "thursday", conditions=CONDITIONS))
    assert rows(own) == []
    assert "Nothing is in quarantine." in call("list")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str, str], None]]:
    """The project's SQL and sources where a test may change a file; a function that does."""
    copy = tmp_path / "project"
    for folder in ("sql", "sources", "etl/cdm", "etl/vocabulary"):
        shutil.copytree(PROJECT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(models, "PROJECT", copy)
    monkeypatch.setattr(Settings, "sources_dir", property(lambda self: copy / "sources"))
    caches = (models.models, models.rules_digest, models.maps_digest)

    def change(file: str, old: str, new: str) -> None:
        path = copy / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
        for cached in caches:
            cached.cache_clear()

    for cached in caches:
        cached.cache_clear()
    yield change
    for cached in caches:
        cached.cache_clear()


SQL = "sql/4_cdm/condition_occurrence.sql"
RIGHT = "cast(event.start_date AS date) AS condition_start_date"
WRONG = "cast('1800-01-01' AS date) AS condition_start_date"


@pytest.mark.usefixtures("monday")
def test_a_refused_night_is_tried_again_with_mended_sql_and_without_a_delivery(
    own: Hospital, tmp_path: Path, project: Callable[[str, str, str], None]
) -> None:
    night = drop(tmp_path / "tuesday", conditions=[*CONDITIONS, CORRECTED])
    project(SQL, RIGHT, WRONG)
    refused(own, night)
    shutil.rmtree(night)
    assert {row[0] for row in rows(own, "source_row_id")} == {1, 2, 5}
    with pytest.raises(GateRefused):
        call("retry", "--all")
    assert {row[2] for row in rows(own)} == {2}
    project(SQL, WRONG, RIGHT)
    assert "Release 2 is published" in call("retry", ids(own)[0])
    assert rows(own) == []
    assert own.query("SELECT count(*) FROM cdm.condition_occurrence") == [(3,)]
    with pytest.raises(UsageError, match="Nothing is in quarantine"):
        call("retry", "--all")


def test_a_first_delivery_that_was_refused_is_tried_again_before_any_release(
    own: Hospital, tmp_path: Path, project: Callable[[str, str, str], None]
) -> None:
    project(SQL, RIGHT, WRONG)
    with pytest.raises(GateRefused):
        own.run(write_tiny_hospital(tmp_path / "monday"))
    project(SQL, WRONG, RIGHT)
    assert "Release 1 is published" in call("retry", "--all")
    assert rows(own) == []


@pytest.mark.usefixtures("monday")
def test_an_older_night_takes_nothing_back_that_a_newer_one_delivered(
    own: Hospital, tmp_path: Path, project: Callable[[str, str, str], None]
) -> None:
    project(SQL, RIGHT, WRONG)
    tuesday = {"conditions": [*CONDITIONS, CORRECTED], "observations": TABLES["observations"][:0]}
    refused(own, drop(tmp_path / "tuesday", **tuesday))
    project(SQL, WRONG, RIGHT)
    newer = TABLES["observations"][0] | {"VALUE": "7.3"}
    own.drop(drop(tmp_path / "wednesday", observations=[newer]))
    call("retry", "--all")
    assert own.query("SELECT count(*), max(value_as_number) FROM cdm.measurement") == [(1, 7.3)]
    assert own.query("SELECT count(*) FROM cdm.condition_occurrence") == [(3,)]


@pytest.mark.usefixtures("monday")
def test_a_rejected_record_lands_once_the_contract_takes_it(
    own: Hospital, tmp_path: Path, project: Callable[[str, str, str], None]
) -> None:
    nobody = CONDITIONS[1] | {"CODE": ""}
    project("sources/synthea/tables.yml", "CODE: {type: text}", "CODE: {type: text, required: true}")
    night = drop(tmp_path / "tuesday", conditions=[CONDITIONS[0], nobody])
    own.drop(night)
    assert [row[0] for row in rows(own)] == ["conditions"]
    with pytest.raises(UsageError, match="neither the file nor the contract has changed"):
        call("retry", "--all")
    project("sources/synthea/tables.yml", "CODE: {type: text, required: true}", "CODE: {type: text}")
    moved = night.rename(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=r"is not in .* any more"):
        call("retry", "--all")
    moved.rename(night)
    assert "conditions landed again" in call("retry", "--all")
    assert rows(own) == []
    assert own.query("SELECT rows FROM etl.row_account WHERE table_name = 'conditions' AND kind = 'landed'")[-1] == (2,)


@pytest.mark.usefixtures("monday")
def test_list_show_and_csv_tell_where_a_row_is_and_never_a_value(own: Hospital, tmp_path: Path) -> None:
    canary = IMPOSSIBLE | {"DESCRIPTION": "Zebulon", "CODE": "Quickbottom"}
    broken = CONDITIONS[1] | {"START": "Zebulon Quickbottom"}
    told = refused(own, drop(tmp_path / "tuesday", conditions=[CONDITIONS[0], broken, canary]))
    listed, csv, of_check = call("list"), call("list", "--csv"), call("list", "--check", BORN)
    [number] = ids(own)
    shown = call("show", number)
    assert BORN in listed and "landing.START" in listed, listed
    assert number in of_check
    assert sum(line[:1].isdigit() for line in csv.splitlines()) == len(rows(own))
    assert re.search(r"CDM rows +condition_occurrence \d+", shown)
    assert "conditions.csv" in shown and "4 (record 3)" in shown
    for value in ("Zebulon", "Quickbottom", "1990", "p3"):
        assert value not in told + listed + csv + of_check + shown, value
    command = re.search(r"trace --source (\S+) --line (\d+) --run (\S+)", shown)
    assert command is not None
    found = trace_line(command[1], int(command[2]), command[3])
    assert [table for outcome in found.outcomes for table, *_ in outcome.cdm] == ["condition_occurrence"]
    assert load_run(command[3]).status == "refused"
