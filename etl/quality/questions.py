"""What Great Expectations is asked of a candidate: suites by table, and which checks hang on each expectation."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from etl.quality.dqd.catalogue import DqdCheck
from etl.quality.model import Check, CheckResult

Suites = dict[str, list["Question"]]


@dataclass(frozen=True)
class Question:
    """An expectation of a suite and the checks that it decides on.

    One check of ours (`check`), or all of the Data Quality Dashboard's of a table that have one type and severity.
    `severity` is what follows if it does not hold: an override lowers it, a regression raises it.
    """

    asked: str
    severity: str
    check_ids: tuple[str, ...]
    table: str
    check_type: str
    check: Check | None = None


def questions(
    suites: Mapping[str, Sequence[Check]],
    dashboard: Iterable[DqdCheck],
    results: Mapping[str, CheckResult],
    severities: Mapping[str, str],
) -> Suites:
    """The questions of each suite: our suites in their order, then tables that only the dashboard asks about.

    A check's limit and severity are its result's, where a site has changed them; `severities` replaces the latter, by
    check id.
    """
    asked: Suites = {name: [_one(check, results, severities) for check in checks] for name, checks in suites.items()}
    groups: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for check in dashboard:
        severity = _severity(check.check_id, check.severity, results, severities)
        groups[check.table, check.check_name, severity].append(check.check_id)
    for (table, check_type, severity), check_ids in groups.items():
        question = Question(f"dqd.{table}.{check_type}.{severity}", severity, tuple(check_ids), table, check_type)
        asked.setdefault(table, []).append(question)
    return asked


def _one(check: Check, results: Mapping[str, CheckResult], severities: Mapping[str, str]) -> Question:
    if check.check_id in results:
        check = replace(check, allowed_percent=results[check.check_id].allowed_percent)
    severity = _severity(check.check_id, check.severity, results, severities)
    return Question(check.check_id, severity, (check.check_id,), check.table, check.check_type, check)


def _severity(check_id: str, own: str, results: Mapping[str, CheckResult], severities: Mapping[str, str]) -> str:
    if check_id in severities:
        return severities[check_id]
    return results[check_id].severity if check_id in results else own
