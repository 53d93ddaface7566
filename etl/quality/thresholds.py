"""Other thresholds and severities for checks, by id: per site in `expectations/site.yml`, or for a re-judgement.

A file is a list. A rule names checks by id or by a shell-style pattern and gives what shall hold for them instead; of
two rules for the same check the later one wins:

    - check: field_fkdomain_*
      severity: info
      allowed_percent: 10

Keys: `check`, and at least one of `severity` and `allowed_percent`. Counts are judged again, never counted again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from etl.errors import ContractError
from etl.quality.model import SEVERITIES, CheckResult
from etl.quality.verdict import status_of
from etl.yaml_text import read_yaml

KEYS = ("check", "severity", "allowed_percent")


@dataclass(frozen=True)
class Rule:
    """What shall hold for the checks that a pattern names; None leaves it as it is."""

    check: str
    severity: str | None = None
    allowed_percent: float | None = None

    def names(self, check_id: str) -> bool:
        return fnmatchcase(check_id, self.check)


def read_thresholds(path: Path) -> tuple[Rule, ...]:
    """The rules of a file in its order; ContractError where it is not as described above."""
    try:
        content = read_yaml(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise _broken(path, f"cannot be read ({type(error).__name__})") from error
    if not isinstance(content, list) or not content:
        raise _broken(path, "is not a list of rules (- check: …)")
    return tuple(_rule(entry, path) for entry in content)


def apply_thresholds(results: Sequence[CheckResult], rules: Sequence[Rule]) -> list[CheckResult]:
    """The same counts judged by these rules; ContractError that names the rules which fit no result.

    Only what a rule names is judged again. What could not be counted stays an error, and what does not apply stays so.
    """
    unknown = [rule.check for rule in rules if not any(rule.names(result.check_id) for result in results)]
    if unknown:
        raise ContractError(
            f"The thresholds name checks that there are not: {', '.join(unknown)}.",
            state="Nothing was judged.",
            todo="Take the ids from the quality page or ./cdmflow check; * stands for any letters.",
        )
    return [_judged(result, [rule for rule in rules if rule.names(result.check_id)]) for result in results]


def _judged(result: CheckResult, rules: Sequence[Rule]) -> CheckResult:
    severity, allowed = result.severity, None
    for rule in rules:
        severity = rule.severity or severity
        allowed = rule.allowed_percent if rule.allowed_percent is not None else allowed
    if allowed is None:
        return replace(result, severity=severity)
    return replace(result, severity=severity, allowed_percent=allowed, status=_status(result, allowed))


def _status(result: CheckResult, allowed: float) -> str:
    """A limit of 0 fails on any violation; otherwise the share must be strictly greater, as in DQD and our own."""
    if result.status in ("error", "not_applicable"):
        return result.status
    return "failed" if status_of(result.violated, result.denominator, allowed) == "failed" else "passed"


def _rule(entry: Any, path: Path) -> Rule:
    if not isinstance(entry, dict) or "check" not in entry or len(entry) < 2 or not set(entry) <= set(KEYS):
        raise _broken(path, "has a rule that is not of check with severity, allowed_percent or both")
    check, severity, allowed = (entry.get(key) for key in KEYS)
    if not isinstance(check, str) or not check:
        raise _broken(path, "has a rule whose check is not an id or a pattern")
    if severity is not None and severity not in SEVERITIES:
        raise _broken(path, f"gives {check} the unknown severity {severity} (known: {', '.join(SEVERITIES)})")
    if allowed is not None and (
        isinstance(allowed, bool) or not isinstance(allowed, int | float) or not 0 <= allowed <= 100
    ):
        raise _broken(path, f"gives {check} an allowed_percent that is not between 0 and 100")
    return Rule(check, severity, None if allowed is None else float(allowed))


def _broken(path: Path, what: str) -> ContractError:
    return ContractError(
        f"{path.name} {what}.",
        state="Nothing was judged.",
        todo="Correct the file; expectations/README.md describes its form.",
    )
