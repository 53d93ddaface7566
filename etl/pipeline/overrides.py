"""Overrides in `etl.gate_override`: made, listed, withdrawn. Rows are never deleted: who let what through, and when."""

import os
import pwd
from collections.abc import Mapping
from datetime import UTC, date, datetime

import sqlalchemy

from etl import quality, state
from etl.config import settings
from etl.errors import UsageError
from etl.pipeline.runs import database, engine
from etl.quality.overrides import Override, checked_pattern, checked_reason, checked_until, in_force
from etl.quality.suites import read_suites

# Whoever overrides answers a refusal: what the last runs were asked is known, with what was asked only then.
RUNS_LOOKED_AT = 10


def make_override(pattern: str, reason: str, until: str) -> tuple[Override, list[str]]:
    """Record that checks may fail until a day; the override, and the ids of the known checks that it names.

    UsageError: no such check, one that cannot be overridden, no reason, a day that is past or over 366 days ahead.
    """
    day, why = checked_until(until, today()), checked_reason(reason)
    named = checked_pattern(pattern, known_checks())
    values = {"check_id": pattern, "reason": why, "until": day, "made_by": login()}
    with engine(database(settings())).begin() as con:
        row = con.execute(state.gate_override.insert().values(**values).returning(*state.gate_override.c)).one()
    return Override(**row._mapping), named


def all_overrides() -> list[Override]:
    """Every override that was ever made, the newest first."""
    table = state.gate_override
    with engine(database(settings())).connect() as con:
        rows = con.execute(sqlalchemy.select(table).order_by(table.c.override_id.desc())).all()
    return [Override(**row._mapping) for row in rows]


def overrides_in_force() -> tuple[Override, ...]:
    """Those that hold today (UTC)."""
    return in_force(all_overrides(), today())


def withdraw(override_id: int) -> Override:
    """End an override now; UsageError where there is none or it was withdrawn before."""
    table = state.gate_override
    with engine(database(settings())).begin() as con:
        row = con.execute(
            table.update()
            .where(table.c.override_id == override_id, table.c.withdrawn_at.is_(None))
            .values(withdrawn_at=datetime.now(UTC))
            .returning(*table.c)
        ).one_or_none()
    if row is None:
        raise UsageError(
            f"There is no override {override_id} that could be withdrawn.",
            state="Nothing was changed.",
            todo="./cdmflow gate overrides lists them.",
        )
    return Override(**row._mapping)


def known_checks() -> Mapping[str, quality.Check | quality.CheckResult]:
    """The checks of expectations/cdm and all that the last runs were asked, by id."""
    run, check = state.run.c, state.check_result.c
    newest = sqlalchemy.select(run.run_id).order_by(run.started_at.desc()).limit(RUNS_LOOKED_AT)
    with engine(database(settings())).connect() as con:
        asked = con.execute(
            sqlalchemy.select(
                check.check_id, check.table_name, check.column_name, check.check_type, check.severity, check.origin
            )
            .where(check.run_id.in_(newest))
            .distinct()
        ).all()
    suites = read_suites(settings().expectations_dir / "cdm")
    known: dict[str, quality.Check | quality.CheckResult] = {
        c.check_id: c for checks in suites.values() for c in checks
    }
    for row in asked:
        known[row.check_id] = quality.CheckResult(
            row.check_id, row.table_name, row.column_name, row.check_type, row.severity, 0, 0, "", 0.0, row.origin
        )
    return known


def today() -> date:
    return datetime.now(UTC).date()


def login() -> str:
    """Who is at the terminal, also behind sudo; without a terminal the user of the process."""
    try:
        return os.getlogin()
    except OSError:
        try:
            return pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
            return f"user {os.getuid()}"
