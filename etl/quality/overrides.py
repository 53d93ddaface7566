"""Overrides: a failing check that may not stop the publish until a day, with a reason. Pure; the clock is passed in.

An override hides nothing: the check is counted and reported, with who let it through, why and until when. What
PostgreSQL would refuse anyway, and the row account, cannot be overridden.
"""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from etl.errors import UsageError
from etl.quality.model import Check, CheckResult

# A year and a leap day: what is wanted for longer is a severity or a limit in expectations/.
LONGEST_DAYS = 366
LONGEST_REASON = 500
# `defaults.structural`: the load would fail after the gate let it through, so letting it through helps nobody.
ENFORCED = ("columns", "types", "required", "length", "primary_key", "foreign_key")
LEDGER = ("accounting", "landed_or_rejected", "used_or_excluded", "from_landed")
PATTERN = re.compile(r"[A-Za-z0-9_.*:-]{1,200}")


@dataclass(frozen=True)
class Override:
    """A row of `etl.gate_override`. `check_id` may hold `*`; `until` is the last day (UTC) on which it holds."""

    override_id: int
    check_id: str
    reason: str
    until: date
    made_by: str
    made_at: datetime
    withdrawn_at: datetime | None = None

    def holds(self, today: date) -> bool:
        return self.withdrawn_at is None and today <= self.until


@dataclass(frozen=True)
class Overridden:
    """A check that does not hold and does not stop, and what lets it through."""

    result: CheckResult
    override: Override

    def __str__(self) -> str:
        result, override = self.result, self.override
        return (
            f"{result.check_id}: {result.violated:,} of {result.denominator:,}, overridden by {override.made_by} "
            f"until {override.until}: {override.reason}"
        )


def in_force(overrides: Iterable[Override], today: date) -> tuple[Override, ...]:
    """Those that hold on this day (UTC), the one that holds longest first."""
    return tuple(sorted((one for one in overrides if one.holds(today)), key=lambda one: one.until, reverse=True))


def overriding(result: Check | CheckResult, overrides: Sequence[Override]) -> Override | None:
    """The first of these overrides that lets a check through; None for what cannot be overridden."""
    if why_not(result):
        return None
    return next((one for one in overrides if matches(one.check_id, result.check_id)), None)


def matches(pattern: str, check_id: str) -> bool:
    """Whether a pattern names a check: letter by letter, `*` for any text."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), check_id) is not None


def why_not(check: Check | CheckResult) -> str:
    """Why this check cannot be overridden; '' if it can."""
    if isinstance(check, CheckResult) and check.origin != "cdm":
        return ""
    if check.check_type in LEDGER:
        return "each landed row is accounted for, or nothing is published"
    if check.check_type in ENFORCED:
        return "PostgreSQL enforces it: the load would fail"
    return ""


def checked_pattern(pattern: str, known: Mapping[str, Check | CheckResult]) -> list[str]:
    """The ids of the known checks that a pattern names. UsageError: none, or one that cannot be overridden."""
    named = [check_id for check_id in sorted(known) if matches(pattern, check_id)]
    if not PATTERN.fullmatch(pattern) or not named:
        raise UsageError(
            f"No check is called {pattern}.",
            state="No override was made.",
            todo=_nearest(pattern, known),
        )
    refused = [(check_id, reason) for check_id in named if (reason := why_not(known[check_id]))]
    if refused:
        check_id, reason = refused[0]
        more = f" ({len(refused) - 1:,} more of {pattern})" if len(refused) > 1 else ""
        raise UsageError(
            f"{check_id} cannot be overridden: {reason}{more}.",
            state="No override was made.",
            todo="Mend the data or the SQL. Of a pattern, name the checks that should be let through.",
        )
    return named


def _nearest(pattern: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(pattern.replace("*", ""), list(known), n=3, cutoff=0.5)
    if not near:
        return "The ids stand in the refusal and in the report; * stands for any text, e.g. 'drift.rows.*'."
    return f"Near it: {', '.join(near)}."


def checked_until(text: str, today: date) -> date:
    """The last day of an override. UsageError: no date, in the past, more than 366 days ahead."""
    try:
        until = date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a date.", todo=f"Write the last day like {today}.") from None
    days = (until - today).days
    if days < 0:
        raise UsageError(
            f"{until} is past: today is {today} (UTC).", state="No override was made.", todo="Name a day from today on."
        )
    if days > LONGEST_DAYS:
        raise UsageError(
            f"{until} is {days:,} days ahead; an override holds for {LONGEST_DAYS} at most.",
            state="No override was made.",
            todo="Name an earlier day, or change the check's severity or limit below expectations/ for good.",
        )
    return until


def checked_reason(text: str) -> str:
    """Why, in one line. UsageError where there is none or it is over 500 characters."""
    reason = " ".join(text.split())
    if not reason or len(reason) > LONGEST_REASON:
        raise UsageError(
            f"An override needs a reason of 1 to {LONGEST_REASON} characters.",
            state="No override was made.",
            todo="Say why the check may fail, without anything about a patient: it stands in every report.",
        )
    return reason
