"""A site's own severities and limits, `expectations/site.yml`, in the gate."""

from pathlib import Path

import pytest
from tiny_hospital import TABLES, Hospital, write_tables, write_tiny_hospital

from etl.errors import ContractError, GateRefused

pytestmark = pytest.mark.integration


def test_a_site_decides_what_stops_a_night_and_a_rule_that_fits_no_check_stops_it(
    own: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site.yml"
    with monkeypatch.context() as patch:
        patch.setattr("etl.pipeline.judgement.SITE", str(site))
        site.write_text("- check: field_fkdomain_*\n  severity: info\n")
        assert own.run(write_tiny_hospital(tmp_path / "first")).status == "published", "there is no drift to judge yet"
    before_birth = {"START": "1890-01-01", "PATIENT": "p1", "CODE": "59621000"}
    night = write_tables(tmp_path / "night", {"conditions": [*TABLES["conditions"], before_birth]})
    with pytest.raises(GateRefused, match=r"condition_occurrence\.after_birth\.condition_start_date"):
        own.drop(night)
    monkeypatch.setattr("etl.pipeline.judgement.SITE", str(site))
    site.write_text("- check: conditions.after_birth.*\n  severity: info\n")
    with pytest.raises(ContractError, match=r"conditions\.after_birth"):
        own.drop(night)
    assert own.current_release() == 1
    site.write_text("- check: '*.after_birth.*'\n  severity: info\n- check: drift.rows.*\n  severity: warning\n")
    assert own.drop(night).status == "published"
    assert own.query("SELECT count(*) FROM cdm.condition_occurrence WHERE condition_start_date < '1900-01-01'") == [
        (1,)
    ]
    kept = (
        "SELECT DISTINCT severity FROM etl.check_result WHERE check_type = 'after_birth' "
        "AND run_id = (SELECT run_id FROM etl.release ORDER BY release_id DESC LIMIT 1)"
    )
    assert own.query(kept) == [("info",)]


def test_what_the_dashboard_has_superseded_is_asked_on_request_only(
    own: Hospital, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.run(write_tiny_hospital(tmp_path / "first"))
    asked = (
        "SELECT count(*) FROM etl.check_result WHERE origin = 'dqd' "
        "AND run_id = (SELECT run_id FROM etl.release ORDER BY release_id DESC LIMIT 1)"
    )
    assert own.query(asked) == [(2002,)]
    monkeypatch.setenv("CDMFLOW_DEPRECATED_CHECKS", "1")
    night = write_tables(tmp_path / "night", {"observations": TABLES["observations"] * 2})
    assert own.drop(night).scope == "all", "everything is counted when other things are asked"
    assert own.query(asked) == [(2374,)]
