"""The report that a gate leaves, and its counts judged again: through the records of a real PostgreSQL, no data."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy
from homes import make_home, remove_home
from quality_helpers import write
from tiny_hospital import Hospital, hospital_in

from etl import state
from etl.config import settings
from etl.errors import UsageError
from etl.pipeline.quality_report import write_quality_report
from etl.pipeline.recheck import recheck
from etl.pipeline.runs import load_run
from etl.quality import CheckResult

pytestmark = pytest.mark.integration
PROJECT = Path(__file__).resolve().parents[2]


def result(check_id: str, violated: int, denominator: int = 100, **changes: object) -> CheckResult:
    told = CheckResult(
        check_id, "person", "gender_concept_id", "unmapped", "warning", violated, denominator,
        "failed" if violated else "passed", 0.01,
    )  # fmt: skip
    return replace(told, **changes)  # type: ignore[arg-type]


KEYS = result("person.primary_key.person_id", 0, severity="critical", check_type="primary_key", column="person_id")
UNMAPPED = result("person.unmapped.gender_concept_id", 6, allowed_percent=5.0)
SEX = result("field_fkdomain_person_gender_concept_id", 0, origin="dqd", check_type="fkDomain", category="Conformance")
RELEASES = {
    "first": [KEYS, replace(UNMAPPED, violated=2, status="passed"), replace(SEX, violated=4, status="failed")],
    "second": [KEYS, UNMAPPED, SEX],
    "refused": [replace(KEYS, violated=1, status="failed"), UNMAPPED, SEX],
}


def remember(hospital: Hospital, run_id: str, results: list[CheckResult], release: int | None) -> None:
    """A run with its results, published or not, without any file."""
    with hospital.engine.begin() as con:
        con.execute(
            state.run.insert().values(
                run_id=run_id,
                source="synthea",
                scope="all",
                status="published" if release else "refused",
                parameters={},
                code_version="test",
            )
        )
        for one in results:
            told = vars(one) | {"run_id": run_id, "table_name": one.table, "column_name": one.column}
            con.execute(state.check_result.insert().values({name: told[name] for name in state.check_result.c.keys()}))  # noqa: SIM118
        if release:
            con.execute(
                state.release.insert().values(
                    release_id=release, run_id=run_id, vocabulary_id=1, schema_name="cdm_r1", tables={}, verdict={}
                )
            )


@pytest.fixture(scope="module")
def hospital() -> Iterator[Hospital]:
    """Two releases and a refused run, of which only the records of their gates are there."""
    home = make_home()
    try:
        with hospital_in(home) as running:
            with running.engine.begin() as con:
                con.execute(
                    state.vocabulary.insert().values(version="v", content_hash="h", path="", counts={}, warnings=[])
                )
            remember(running, "first", RELEASES["first"], 1)
            remember(running, "second", RELEASES["second"], 2)
            remember(running, "refused", RELEASES["refused"], None)
            yield running
    finally:
        remove_home(home)


def check(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "etl.cli", "check", *arguments],
        env=os.environ | {"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def thresholds(folder: Path, text: str) -> Path:
    path = folder / "thresholds.yml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_release_that_is_served_is_judged_by_its_stored_counts(hospital: Hospital) -> None:
    found = recheck()
    assert (found.run_id, found.release, found.before) == ("second", 2, 1)
    assert found.verdict.passed
    assert [one.check_id for one in found.verdict.warnings] == [UNMAPPED.check_id]
    assert found.changes is not None
    assert [now.check_id for now, _ in found.changes.new] == [UNMAPPED.check_id]
    assert [now.check_id for now, _ in found.changes.resolved] == [SEX.check_id]


def test_a_rejudgement_reads_no_data(hospital: Hospital, tmp_path: Path) -> None:
    """There is no lake, no release schema and no run's folder in this home at all."""
    shutil.rmtree(settings().lake, ignore_errors=True)
    assert not settings().runs_dir.exists()
    assert hospital.query("SELECT count(*) FROM pg_namespace WHERE nspname ~ '^cdm_r'") == [(0,)]
    path = thresholds(tmp_path, "- check: person.unmapped.*\n  severity: critical\n  allowed_percent: 5.9\n")
    assert not recheck(thresholds=path).verdict.passed
    assert hospital.query("SELECT count(*) FROM etl.check_result WHERE status = 'failed'") == [(4,)]


def test_other_thresholds_change_the_verdict_and_nothing_that_is_stored(hospital: Hospital, tmp_path: Path) -> None:
    before = hospital.query("SELECT * FROM etl.check_result ORDER BY run_id, check_id")
    lenient = thresholds(tmp_path, "- check: person.*\n  allowed_percent: 10\n")
    assert recheck(run_id="refused").verdict.passed is False
    assert recheck(run_id="refused", thresholds=lenient).verdict.passed is True
    assert hospital.query("SELECT * FROM etl.check_result ORDER BY run_id, check_id") == before


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"release": 9}, "There is no release 9"),
        ({"run_id": "nobody"}, "There is no run nobody"),
        ({"release": 1, "run_id": "first"}, "both named"),
    ],
)
def test_what_is_not_there_is_told(hospital: Hospital, arguments: dict[str, object], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        recheck(**arguments)  # type: ignore[arg-type]


def test_the_command_shows_verdict_failures_changes_and_tables_and_ends_with_zero(hospital: Hospital) -> None:
    done = check()
    assert done.returncode == 0, done.stderr
    told = " ".join(done.stdout.split())
    order = [
        "Release 2 (run second) passes: 3 checks, 0 critical, 0 got worse, 1 reported",
        "Warnings check", f"{UNMAPPED.check_id} 6 of 100 6 % 5 % warning",
        "New since release 1", "Resolved since release 1", "Checks that hold", "person 2 of 2 0 of 1 2 of 3",
    ]  # fmt: skip
    assert [told.find(part) for part in order] == sorted(told.find(part) for part in order)
    assert -1 not in [told.find(part) for part in order]


def test_the_command_ends_with_three_where_the_gate_would_refuse(hospital: Hospital, tmp_path: Path) -> None:
    refused = check("--run", "refused")
    assert refused.returncode == 3
    assert "Run refused is refused" in refused.stdout
    assert "Stops the publish: critical" in refused.stdout
    strict = thresholds(tmp_path, f"- check: {UNMAPPED.check_id}\n  severity: critical\n")
    assert check("--release", "2", "--thresholds", str(strict)).returncode == 3
    assert check("--release", "2").returncode == 0


def test_the_command_ends_with_two_where_it_is_used_wrongly(hospital: Hospital, tmp_path: Path) -> None:
    unknown = check("--thresholds", str(thresholds(tmp_path, "- check: field_fkdomian_*\n  severity: info\n")))
    assert (unknown.returncode, "field_fkdomian_*" in unknown.stderr) == (2, True)
    assert check("--release", "9").returncode == 2
    assert check("--release", "one").returncode == 2
    assert check("--thresholds", str(tmp_path / "none.yml")).returncode == 2


def test_an_override_in_force_lets_a_failure_through_and_one_that_is_over_does_not(hospital: Hospital) -> None:
    critical = replace(UNMAPPED, severity="critical", check_id="person.unmapped.race_concept_id")
    remember(hospital, "overridden", [critical], None)
    assert not recheck(run_id="overridden").verdict.passed
    override = "INSERT INTO etl.gate_override (check_id, reason, until, made_by) VALUES ('{}', 'late', {}, 'm.kim')"
    hospital.execute(override.format(critical.check_id, "current_date - 2"))
    assert not recheck(run_id="overridden").verdict.passed
    hospital.execute(override.format("person.unmapped.race*", "current_date + 2"))
    found = recheck(run_id="overridden").verdict
    assert found.passed
    assert [one.override.reason for one in found.overridden] == ["late"]


def test_rows_that_were_accepted_in_quarantine_do_not_make_a_release_fail_afterwards(hospital: Hospital) -> None:
    accepted = replace(
        KEYS, violated=3, status="passed", reason="3 more rows are accepted", check_id="person.x.accepted"
    )
    remember(hospital, "accepted", [accepted], None)
    assert recheck(run_id="accepted").verdict.passed


def test_a_gate_leaves_page_and_dqd_json_with_all_that_is_known_of_the_releases(hospital: Hospital) -> None:
    run = load_run("refused")
    write({"cdm_source": [{"cdm_source_name": "Tiny", "cdm_source_abbreviation": "T", "cdm_holder": "H"}]}, run.folder)
    hospital.execute(
        "INSERT INTO etl.quarantine (source, table_name, source_row_id, check_id, reason, first_run, last_run, nights) "
        "VALUES ('synthea', 'observations', 7, 'landing.bad_date', 'bad_date', 'first', 'refused', 3)"
    )
    reason = "person.primary_key.person_id: 1 of 100"
    page = write_quality_report(run, RELEASES["refused"], passed=False, reasons=[reason])
    assert page == run.folder / "report" / "quality.html"
    told = page.read_text(encoding="utf-8")
    for part in ("The gate is shut", reason, "compared with release 2", "landing.bad_date", "Since release 2", "<svg"):
        assert part in told
    content = json.loads((page.parent / "dqd.json").read_text(encoding="utf-8"))
    assert content["Metadata"][0]["cdmSourceName"] == "Tiny"
    [only] = content["CheckResults"]
    assert (only["checkId"], only["passed"]) == (SEX.check_id, 1)
    assert only["queryText"].startswith('SELECT t."person_id" FROM "cdm"."person"')
    assert sorted(path.name for path in page.parent.iterdir()) == ["dqd.json", "quality.html"]


def test_the_facts_of_dqds_checks_are_kept_for_the_results_table_and_brought_up_to_date(hospital: Hospital) -> None:
    run = load_run("second")
    write_quality_report(run, RELEASES["second"], passed=True)
    hospital.execute("UPDATE etl.dqd_check SET query_text = 'of an older version'")
    write_quality_report(run, RELEASES["second"], passed=True)
    known = sqlalchemy.select(state.dqd_check.c.check_id, state.dqd_check.c.query_text)
    with hospital.engine.connect() as con:
        [(check_id, query)] = con.execute(known).all()
    assert check_id == SEX.check_id
    assert query.startswith('SELECT t."person_id" FROM "cdm"."person"')


def test_a_published_run_is_compared_with_the_release_before_its_own(hospital: Hospital) -> None:
    page = write_quality_report(load_run("second"), RELEASES["second"], passed=True).read_text(encoding="utf-8")
    assert "compared with release 1" in page
    assert "the first release" in write_quality_report(load_run("first"), RELEASES["first"], passed=True).read_text(
        encoding="utf-8"
    )


def test_drift_is_added_when_it_is_measured(hospital: Hospital) -> None:
    run = load_run("refused")
    drift = replace(UNMAPPED, check_id="drift.rows.person", check_type="rows", origin="drift", reason="5 now, 9 before")
    page = write_quality_report(
        run, [*RELEASES["refused"], drift], passed=False, reasons=["drift.rows.person: 6 of 100"]
    )
    assert "5 now, 9 before" in page.read_text(encoding="utf-8")
