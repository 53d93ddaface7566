"""What Great Expectations is asked of a candidate: suites by table, and which checks hang on each expectation."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

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
    suites: Mapping[str, Sequence[Check]], dashboard: Iterable[CheckResult], severities: Mapping[str, str]
) -> Suites:
    """The questions of each suite; `dashboard` are checks that are asked in groups, told by their results.

    `severities` replaces a check's own, by check id. Suites of ours come in their order, then tables that only the
    dashboard asks about.
    """
    asked: Suites = {name: [_one(check, severities) for check in checks] for name, checks in suites.items()}
    groups: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for result in dashboard:
        severity = severities.get(result.check_id, result.severity)
        groups[result.table, result.check_type, severity].append(result.check_id)
    for (table, check_type, severity), check_ids in groups.items():
        question = Question(f"dqd.{table}.{check_type}.{severity}", severity, tuple(check_ids), table, check_type)
        asked.setdefault(table, []).append(question)
    return asked


def _one(check: Check, severities: Mapping[str, str]) -> Question:
    severity = severities.get(check.check_id, check.severity)
    return Question(check.check_id, severity, (check.check_id,), check.table, check.check_type, check)
