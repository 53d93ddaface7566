"""What Great Expectations is asked of a candidate: suites by table, and which checks hang on each expectation."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from etl.quality.dqd.catalogue import DqdCheck
from etl.quality.model import Check, CheckResult

Suites = dict[str, list["Question"]]


@dataclass(frozen=True)
class Question:
    """An expectation of a suite: the checks of one type that a table has with one severity.

    `severity` is what follows if one does not hold: an override lowers it, a regression raises it. `checks` are ours;
    for the Data Quality Dashboard's there are only ids.
    """

    asked: str
    severity: str
    check_type: str
    check_ids: tuple[str, ...]
    checks: tuple[Check, ...] = ()


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
    asked: Suites = {name: [] for name in suites}
    for name, checks in suites.items():
        groups: dict[tuple[str, str], list[Check]] = defaultdict(list)
        for check in checks:
            severity = _severity(check.check_id, check.severity, results, severities)
            groups[check.check_type, severity].append(_under(check, results))
        for (kind, severity), found in groups.items():
            ids = tuple(check.check_id for check in found)
            asked[name].append(Question(f"{name}.{kind}.{severity}", severity, kind, ids, tuple(found)))
    theirs: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for one in dashboard:
        severity = _severity(one.check_id, one.severity, results, severities)
        theirs[one.table, one.check_name, severity].append(one.check_id)
    for (table, kind, severity), check_ids in theirs.items():
        question = Question(f"dqd.{table}.{kind}.{severity}", severity, kind, tuple(check_ids))
        asked.setdefault(table, []).append(question)
    return asked


def _under(check: Check, results: Mapping[str, CheckResult]) -> Check:
    known = results.get(check.check_id)
    return replace(check, allowed_percent=known.allowed_percent) if known else check


def _severity(check_id: str, own: str, results: Mapping[str, CheckResult], severities: Mapping[str, str]) -> str:
    if check_id in severities:
        return severities[check_id]
    return results[check_id].severity if check_id in results else own
