"""Overrides as an engineer makes them: a command, a row that stays, a list that tells who let what through."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from tiny_hospital import TABLES, Hospital, Rows, write_tiny_hospital

from etl.errors import GateRefused, UsageError
from etl.pipeline.overrides import all_overrides, login, make_override, overrides_in_force, today, withdraw
from etl.quality import CheckResult, judge

pytestmark = pytest.mark.integration
PROJECT = Path(__file__).resolve().parents[2]
CHECK = "visit_occurrence.not_in_future.visit_start_date"


def gate(*arguments: str) -> subprocess.CompletedProcess[str]:
    return cdmflow("gate", *arguments)


def cdmflow(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "etl.cli", *arguments],
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.usefixtures("hospital")
def test_an_override_is_made_listed_and_withdrawn_and_its_row_stays() -> None:
    until = str(today() + timedelta(days=30))
    made = gate("override", CHECK, "--reason", "the clock of [the] kiosk", "--until", until)
    assert made.returncode == 0, made.stderr
    assert CHECK in made.stdout
    [held] = overrides_in_force()
    assert (held.check_id, held.reason, str(held.until)) == (CHECK, "the clock of [the] kiosk", until)
    assert held.made_by == login()
    listed = gate("overrides").stdout
    for told in ("holds", until, "the clock of [the] kiosk", held.made_by):
        assert told in listed
    assert gate("withdraw", str(held.override_id)).returncode == 0
    assert overrides_in_force() == ()
    assert [one.override_id for one in all_overrides()] == [held.override_id]
    assert "withdrawn" in gate("overrides").stdout
    assert gate("withdraw", str(held.override_id)).returncode == 2


REFUSED = {
    "an unknown check, with the nearest": ("visit_ocurrence.not_in_future.visit_start_date", "x", 1, CHECK),
    "what PostgreSQL enforces": ("person.required.person_id", "x", 1, "PostgreSQL enforces it"),
    "a pattern over what it enforces": ("person.*", "x", 1, "PostgreSQL enforces it"),
    "a day that is past": (CHECK, "x", -1, "is past"),
    "a day over a year ahead": (CHECK, "x", 367, "366"),
    "no reason": (CHECK, " ", 1, "needs a reason"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.usefixtures("hospital")
def test_an_override_that_makes_no_sense_is_refused_and_none_is_kept(case: str) -> None:
    check, reason, days, told = REFUSED[case]
    before = all_overrides()
    with pytest.raises(UsageError) as refused:
        make_override(check, reason, str(today() + timedelta(days=days)))
    assert told in str(refused.value)
    assert all_overrides() == before


@pytest.mark.usefixtures("hospital")
def test_the_verdict_goes_by_what_is_in_force() -> None:
    failing = CheckResult(
        CHECK, "visit_occurrence", "visit_start_date", "not_in_future", "critical", 5, 9, "failed", 0.0
    )
    made, named = make_override("visit_occurrence.not_in_future.*", "a kiosk", str(today()))
    assert named == [CHECK]
    assert judge([failing], {}, overrides=overrides_in_force()).passed
    withdraw(made.override_id)
    assert not judge([failing], {}, overrides=overrides_in_force()).passed


def measured(times: int) -> dict[str, Rows]:
    """A patient whose value is measured so many times, an hour apart."""
    [first] = TABLES["observations"]
    hours = (f"2023-01-{10 + number // 24:02}T{number % 24:02}:10:00Z" for number in range(times))
    return {"observations": [first | {"DATE": hour} for hour in hours]}


def test_a_file_cut_short_is_refused_until_its_drift_is_overridden_and_told(hospital: Hospital, tmp_path: Path) -> None:
    hospital.run(write_tiny_hospital(tmp_path / "whole", measured(150)))
    with pytest.raises(GateRefused) as refused:
        hospital.run(write_tiny_hospital(tmp_path / "short", measured(20)))
    assert "drift.rows.measurement: 130 of 150 (20 now, 150 before)" in str(refused.value)
    assert hospital_release(hospital) == 1
    until = str(today())
    made = gate("override", "drift.*", "--reason", "the laboratory moved", "--until", until)
    assert made.returncode == 0, made.stderr
    resumed = cdmflow("run", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert hospital_release(hospital) == 2
    told = (hospital.home / "releases" / "2" / "report" / "drift" / "results.json").read_text()
    assert f"20 now, 150 before; overridden by {login()} until {until}: the laboratory moved" in told


def hospital_release(hospital: Hospital) -> int:
    return max(int(folder.name) for folder in (hospital.home / "releases").iterdir())
