"""The gate when Great Expectations, a suite or the data are not what they should be: shut, and without a value."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from quality_helpers import Cdm, counts, hospital

from etl.config import settings
from etl.quality import GateResult, gate_candidate, warm_up
from etl.quality.suites import read_suites

pytestmark = pytest.mark.faults
CANARIES = ("Zebulon", "Quickbottom", "999-44-1234", "1931-02-03", "8461357")


@pytest.fixture(scope="module", autouse=True)
def great_expectations() -> None:
    warm_up().join()


@pytest.fixture
def registry() -> Iterator[dict[str, Any]]:
    from great_expectations.expectations.registry import _registered_expectations

    before = dict(_registered_expectations)
    yield _registered_expectations
    _registered_expectations.update(before)


FEW = ("person", "condition_occurrence", "measurement")


def some_suites() -> dict[str, Any]:
    """Three tables' suites: what is tested does not depend on their number, the seconds do."""
    suites = read_suites(settings().expectations_dir / "cdm")
    return {table: suites[table] for table in FEW}


def gate(cdm: Cdm, folder: Path, suites: Any = None) -> GateResult:
    return gate_candidate(list(counts(cdm, folder).values()), folder / "report", suites=suites or some_suites())


def test_a_clean_candidate_passes_with_every_expectation_evaluated(home: Path, tmp_path: Path) -> None:
    suites = read_suites(settings().expectations_dir / "cdm")
    result = gate(hospital(), tmp_path, suites)
    assert result.passed
    assert not result.reasons
    kinds = {(check.table, check.check_type, check.severity) for checks in suites.values() for check in checks}
    assert result.evaluated == result.expected == len(kinds) + 4  # the ledger's types
    assert [check.check_id for check in result.warnings] == ["measurement.unmapped.measurement_concept_id"]
    assert (tmp_path / "report" / "person.html").exists()


def test_an_orphan_shuts_the_gate_with_check_and_counts(home: Path, tmp_path: Path) -> None:
    cdm = hospital()
    cdm["condition_occurrence"][2]["person_id"] = 99
    result = gate(cdm, tmp_path)
    assert not result.passed
    assert [str(check) for check in result.failed] == ["condition_occurrence.foreign_key.person_id: 1 of 3"]
    assert "condition_occurrence.foreign_key.person_id" in result.report.read_text()


def test_a_custom_expectation_that_is_not_imported_shuts_the_gate(
    home: Path, tmp_path: Path, registry: dict[str, Any]
) -> None:
    del registry["expect_required_values"]
    result = gate(hospital(), tmp_path)
    assert not result.passed
    assert result.evaluated < result.expected
    assert not result.failed
    assert "person.required.critical: Great Expectations left it out" in result.reasons


def test_an_empty_suite_shuts_the_gate(home: Path, tmp_path: Path) -> None:
    result = gate(hospital(), tmp_path, {**some_suites(), "person": ()})
    assert not result.passed
    assert any(reason.startswith("person: the suite is empty") for reason in result.reasons)


def test_a_candidate_without_an_account_of_its_rows_shuts_the_gate(home: Path, tmp_path: Path) -> None:
    results = list(counts(hospital(), tmp_path, ledger=()).values())
    result = gate_candidate(results, tmp_path / "report", suites=some_suites())
    assert not result.passed
    assert any(reason.startswith("accounting: the suite is empty") for reason in result.reasons)


def test_a_count_that_is_missing_shuts_the_gate(home: Path, tmp_path: Path) -> None:
    results = [r for r in counts(hospital(), tmp_path).values() if r.check_id != "person.primary_key.person_id"]
    result = gate_candidate(results, tmp_path / "report", suites=some_suites())
    assert not result.passed
    assert "person.primary_key.critical: could not be evaluated" in result.reasons


def test_an_engine_that_raises_shuts_the_gate_and_keeps_its_message_to_itself(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: Any
) -> None:
    from great_expectations.execution_engine import PandasExecutionEngine

    def fail(*args: Any, **kwargs: Any) -> None:
        raise ValueError("Could not convert string 'Zebulon' to INT32")

    monkeypatch.setattr(PandasExecutionEngine, "get_compute_domain", fail)
    result = gate(hospital(), tmp_path)
    assert not result.passed
    assert result.evaluated == 0
    written = "".join(path.read_text() for path in (tmp_path / "report").iterdir())
    out, err = capfd.readouterr()
    assert "Zebulon" not in written + out + err + caplog.text + "".join(result.reasons)


def test_an_expectation_that_always_says_yes_is_contradicted_by_the_verdict(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from etl.quality.gx.expectations import CheckExpectation

    monkeypatch.setattr(CheckExpectation, "_validate", lambda self, *a, **k: {"success": True, "result": {}})
    cdm = hospital()
    cdm["condition_occurrence"][0]["person_id"] = 99
    result = gate(cdm, tmp_path)
    assert not result.passed
    assert any("the verdict on the same counts disagree" in reason for reason in result.reasons)


def test_no_value_of_a_patient_is_in_any_file_of_the_report_or_in_any_log(
    home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: Any
) -> None:
    cdm = hospital()
    cdm["condition_occurrence"][0].update(condition_source_value="Zebulon Quickbottom " * 3, stop_reason="999-44-1234")
    cdm["condition_occurrence"][1].update(person_id=8461357, condition_start_date="1931-02-03")
    cdm["person"][0]["person_source_value"] = "Zebulon"
    result = gate(cdm, tmp_path)
    assert not result.passed
    written = "".join(path.read_text() for path in (tmp_path / "report").iterdir())
    out, err = capfd.readouterr()
    told = written + out + err + caplog.text + repr(result)
    assert not [canary for canary in CANARIES if canary in told]


def test_reports_load_nothing_from_anywhere(home: Path, tmp_path: Path) -> None:
    gate(hospital(), tmp_path, read_suites(settings().expectations_dir / "cdm"))
    pages = sorted((tmp_path / "report").glob("*.html"))
    assert len(pages) == 29  # 27 tables, the account, the index
    for page in pages:
        text = page.read_text()
        assert not re.search(r"https?://", text), page.name
        assert "<script" not in text
        for target in re.findall(r"""(?:href|src)=["']([^"'#]+)""", text):
            assert (page.parent / target).exists(), f"{page.name} → {target}"


def test_the_gate_opens_no_network_connection(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the gate tried to reach the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert gate(hospital(), tmp_path).passed
