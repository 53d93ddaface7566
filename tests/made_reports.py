"""Small made results for the quality page and DQD's JSON."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from etl.quality import CheckResult
from etl.quality.overrides import Override
from etl.quality.report.model import QualityReport, Quarantined, ReleaseCounts


def made(check_id: str, violated: int, denominator: int, **changes: Any) -> CheckResult:
    """A critical required check of person.gender_concept_id, failed when something is violated."""
    told = CheckResult(
        check_id=check_id,
        table="person",
        column="gender_concept_id",
        check_type="required",
        severity="critical",
        violated=violated,
        denominator=denominator,
        status="failed" if violated else "passed",
        seconds=0.25,
    )
    return replace(told, **changes)


HELD = made("person.primary_key.person_id", 0, 1_000, column="person_id", check_type="primary_key")
EMPTY = made("note.required.note_text", 0, 0, table="note", column="note_text", status="not_applicable")
BROKEN = made("person.required.gender_concept_id", 3, 1_000)
UNMAPPED = made(
    "condition_occurrence.unmapped.condition_concept_id", 600, 8_000, table="condition_occurrence",
    column="condition_concept_id", check_type="unmapped", severity="warning", allowed_percent=5.0,
)  # fmt: skip
LATE = made(
    "field_plausiblebeforedeath_measurement_measurement_date", 1, 10, table="measurement", column="measurement_date",
    check_type="plausibleBeforeDeath", severity="info", origin="dqd", category="Plausibility",
)  # fmt: skip
UNTOLD = made(
    "field_fkclass_drug_era_drug_concept_id", 0, 0, table="drug_era", column="drug_concept_id", check_type="fkClass",
    severity="warning", origin="dqd", category="Conformance", status="error", reason="ConversionException",
)  # fmt: skip
GREW = made(
    "drift.rows.measurement", 90, 400, table="measurement", column="", check_type="rows", severity="warning",
    origin="drift", category="Completeness", allowed_percent=10.0, reason="490 now, 400 before",
)  # fmt: skip


def override(check_id: str, reason: str, until: date = date(2026, 12, 31), made_by: str = "m.kim") -> Override:
    return Override(1, check_id, reason, until, made_by, datetime(2026, 11, 1, tzinfo=UTC))


def report(**changes: Any) -> QualityReport:
    """A gate that is open over a held and an empty check, after release 7; `changes` are its fields."""
    told = QualityReport(
        source="synthea", run_id="20261128T020000-1a2b3c", data_until=date(2026, 11, 27), passed=True,
        results=[HELD, EMPTY], before=[HELD, EMPTY], before_release=7,
    )  # fmt: skip
    return replace(told, **changes)


def full_report(**changes: Any) -> QualityReport:
    """A report with something in every section."""
    told = report(
        passed=False,
        reasons=["person.required.gender_concept_id: 3 of 1,000"],
        results=[HELD, EMPTY, BROKEN, UNMAPPED, LATE, UNTOLD, GREW],
        before=[
            made(HELD.check_id, 2, 1_000, column="person_id", check_type="primary_key"),
            made(BROKEN.check_id, 0, 990),
            replace(UNMAPPED, violated=500),
        ],
        overrides=[
            override(LATE.check_id, "the registry's dates come late, ticket 4711"),
            override("person.unmapped.*", "not asked any more", date(2026, 12, 5)),
        ],
        trend=[
            ReleaseCounts("6", passed=90, critical=0, warning=6, info=4),
            ReleaseCounts("7", passed=95, critical=0, warning=3, info=2),
            ReleaseCounts("now", passed=97, critical=1, warning=1, info=1),
        ],
        quarantined=[Quarantined("observations", "landing.bad_date", 41, 3)],
        pages={name: f"candidate/{name}.html" for name in ("person", "condition_occurrence")}
        | {"drift": "drift/drift.html"},
    )
    return replace(told, **changes)
