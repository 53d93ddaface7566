"""DQD's result JSON, as OHDSI's viewer and Ares read it: DQD 2.8's keys, our counts.

R writes it with jsonlite: every scalar outside `CheckResults` and `Metadata` is a list of one, and a key whose value is
missing is left out.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from etl.quality.dqd.catalogue import DqdCheck
from etl.quality.model import CheckResult
from etl.quality.report.compare import share_of
from etl.quality.report.model import CATEGORIES
from etl.quality.report.words import DQD


@dataclass(frozen=True)
class DqdFacts:
    """What DQD says of a check beside its counts; names in capitals as DQD writes them, '' for none."""

    check_id: str
    check_name: str
    check_level: str
    check_description: str
    cdm_table_name: str
    cdm_field_name: str
    concept_id: str
    unit_concept_id: str
    sql_file: str
    category: str
    subcategory: str
    context: str
    query_text: str
    has_threshold: bool


def dqd_facts(catalogue: Iterable[DqdCheck], queries: Mapping[str, str] | None = None) -> dict[str, DqdFacts]:
    """The facts of each check by its id; `queries` are the SQL of its violating rows, by check id."""
    return {check.check_id: _facts(check, (queries or {}).get(check.check_id, "")) for check in catalogue}


def _facts(check: DqdCheck, query: str) -> DqdFacts:
    words, table, field = DQD[check.check_name], check.table.upper(), check.field.upper()
    return DqdFacts(
        check_id=check.check_id,
        check_name=check.check_name,
        check_level=check.level.upper(),
        check_description=words.sentence.format(
            table=table, field=field, concept=check.concept_id, argument=check.argument
        ),
        cdm_table_name=table,
        cdm_field_name=field,
        concept_id=check.concept_id,
        unit_concept_id=check.unit_concept_id,
        sql_file=words.sql_file,
        category=check.category,
        subcategory=check.subcategory,
        context=check.context,
        query_text=query,
        has_threshold=check.threshold is not None,
    )


def dqd_json(
    results: Sequence[CheckResult],
    facts: Mapping[str, DqdFacts],
    cdm_source: Mapping[str, str],
    started: datetime,
    ended: datetime,
) -> dict[str, Any]:
    """The file's content. `cdm_source` is the row of that CDM table, by column; results that are not DQD's stay out."""
    asked = [result for result in results if result.origin == "dqd"]
    seconds = (ended - started).total_seconds()
    return {
        "startTimestamp": [_timestamp(started)],
        "endTimestamp": [_timestamp(ended)],
        "executionTime": [f"{seconds:.0f} secs"],
        "executionTimeSeconds": [round(seconds, 4)],
        "CheckResults": [_check_result(result, facts[result.check_id]) for result in asked],
        "Metadata": [{_camel(name): value for name, value in cdm_source.items()}],
        "Overview": {name: [value] for name, value in _overview(asked, facts).items()},
    }


def _check_result(result: CheckResult, facts: DqdFacts) -> dict[str, Any]:
    """One row of `CheckResults`; an error leaves its counts out, as DQD does."""
    is_error = result.status == "error"
    told = {
        "numViolatedRows": None if is_error else result.violated,
        "pctViolatedRows": None if is_error else round(share_of(result), 6),
        "numDenominatorRows": None if is_error else result.denominator,
        "executionTime": f"{result.seconds:.6f} secs",
        **{_camel(name): value for name, value in asdict(facts).items() if name in SAID},
        "error": result.reason or "could not be counted" if is_error else None,
        "checkId": result.check_id,
        "failed": int(result.status == "failed"),
        "passed": int(result.status == "passed"),
        "isError": int(is_error),
        "notApplicable": int(result.status == "not_applicable"),
        "notApplicableReason": result.reason or None if result.status == "not_applicable" else None,
        "thresholdValue": _threshold(result, facts),
    }
    optional = ("cdmFieldName", "conceptId", "unitConceptId")
    return {name: value for name, value in told.items() if value is not None and (value != "" or name not in optional)}


SAID = (
    "query_text", "check_name", "check_level", "check_description", "cdm_table_name", "cdm_field_name", "concept_id",
    "unit_concept_id", "sql_file", "category", "subcategory", "context",
)  # fmt: skip


def _threshold(result: CheckResult, facts: DqdFacts) -> float | int | None:
    """The limit the result was judged by, which a site may have changed; None where DQD has none."""
    if not facts.has_threshold and not result.allowed_percent:
        return None
    allowed = result.allowed_percent
    return int(allowed) if allowed == int(allowed) else allowed


def _overview(results: Sequence[CheckResult], facts: Mapping[str, DqdFacts]) -> dict[str, float]:
    """DQD's own sums: passed is everything that did not fail, so also what does not apply."""
    failed, errors = _count(results, "failed"), _count(results, "error")
    by_category: dict[str, Counter[str]] = {category: Counter() for category in CATEGORIES}
    for result in results:
        by_category.setdefault(facts[result.check_id].category, Counter())[result.status] += 1
    share = round(100 * failed / len(results), 2) if results else 0.0
    names = ("Plausibility", "Conformance", "Completeness")
    return {
        "countTotal": len(results),
        "countPassed": len(results) - failed,
        "countErrorFailed": errors,
        "countThresholdFailed": failed,
        "countOverallFailed": failed,
        "percentPassed": round(100 - share, 2),
        "percentFailed": share,
        **{f"countTotal{name}": by_category[name].total() for name in names},
        **{f"countFailed{name}": by_category[name]["failed"] for name in names},
        **{f"countPassed{name}": by_category[name]["passed"] for name in names},
    }


def _count(results: Sequence[CheckResult], status: str) -> int:
    return sum(result.status == status for result in results)


def _timestamp(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
