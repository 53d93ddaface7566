"""Nights tried again from what they landed, with today's SQL, maps and contract: what a mended mapping is for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sqlalchemy

from etl import land, state
from etl.config import settings
from etl.errors import CdmflowError
from etl.pipeline.models import maps_digest, rules_digest
from etl.pipeline.runs import Run, current_run, database, engine, insert_run, load_run, new_run_id


@dataclass(frozen=True)
class Attempt:
    """A run that tries rows of the quarantine again.

    `refused` is the run whose batches count again, or None where all that is tried are rejected records of the current
    state; `tables` are landed again from `folder`, in the place of the batches `replaces`.
    """

    source: str
    refused: str | None
    tables: tuple[str, ...]
    folder: str | None
    replaces: tuple[int, ...]
    rows: int


@dataclass(frozen=True)
class Plan:
    """What can be tried again, the oldest night first, and what cannot be, with the reason."""

    attempts: tuple[Attempt, ...]
    impossible: tuple[str, ...]


def plan_retry(rows: Sequence[Any]) -> Plan:
    """How these rows of the quarantine can be tried again; nothing is landed or changed for it.

    Rows of the gate: the run that was refused last because of them, from its landed batches. Rejected records: their
    file, where it is still the one that was landed and the contract has changed since; with the night that was refused,
    where they are part of one.
    """
    refused: dict[str, int] = {}
    rejected: dict[int, list[Any]] = {}
    impossible: list[str] = []
    for row in rows:
        if row.batch_id is not None:
            rejected.setdefault(row.batch_id, []).append(row)
        else:
            refused[row.last_run] = refused.get(row.last_run, 0) + 1
    again: dict[tuple[str, str | None, str | None], list[tuple[str, int, int]]] = {}
    for batch_id, records in rejected.items():
        batch, why = _landable(batch_id)
        if why:
            impossible.append(why)
            continue
        run_id = _refused_run(records[0], batch_id)
        key = (batch.source, run_id, load_run(batch.run_id).parameters["input_folder"])
        again.setdefault(key, []).append((batch.table_name, batch_id, len(records)))
    attempts = []
    for (source, run_id, folder), batches in again.items():
        count = sum(records for *_, records in batches) + (refused.pop(run_id, 0) if run_id else 0)
        tables, numbers = tuple(name for name, *_ in batches), tuple(number for _, number, _ in batches)
        attempts.append(Attempt(source, run_id, tables, folder, numbers, count))
    attempts += [Attempt(load_run(run_id).source, run_id, (), None, (), count) for run_id, count in refused.items()]
    possible = []
    for attempt in attempts:
        why = _overtaken(attempt)
        if why:
            impossible.append(why)
        else:
            possible.append(attempt)
    return Plan(tuple(sorted(possible, key=lambda one: _started(one.refused))), tuple(impossible))


def _started(run_id: str | None) -> str:
    """When a run began, as text to sort by; what is of no refused run comes first."""
    if run_id is None:
        return ""
    with engine(database(settings())).connect() as con:
        query = sqlalchemy.select(state.run.c.started_at).where(state.run.c.run_id == run_id)
        return str(con.execute(query).scalar_one().isoformat())


def _refused_run(row: Any, batch_id: int) -> str | None:
    """The refused run that a rejected record is part of; None where its batch is part of the current release."""
    current = current_run(row.source)
    if current is not None and batch_id in (load_run(current).batch_ids or []):
        return None
    return str(row.last_run)


def _landable(batch_id: int) -> tuple[Any, str]:
    """A batch, and why its file cannot be landed again; '' where it can."""
    configured = settings()
    with engine(database(configured)).connect() as con:
        batch = con.execute(sqlalchemy.select(state.batch).where(state.batch.c.batch_id == batch_id)).one()
    folder = load_run(batch.run_id).parameters["input_folder"]
    contract = land.load_contract(configured, batch.source)
    told = f"{batch.file_name} (batch {batch_id} of {batch.table_name})"
    table = contract.tables.get(batch.table_name)
    if table is None:
        return batch, f"{told}: the contract has no table {batch.table_name} any more."
    if folder is None:
        return batch, f"{told} was read from a database: correct the record there."
    with TemporaryDirectory(dir=configured.landing_dir) as scratch:
        try:
            content = land.content_hash(contract, table, Path(folder), Path(scratch))
        except CdmflowError as error:
            return batch, f"{told}: {error.what}"
    if content is None:
        return batch, f"{told} is not in {folder} any more. Put it back, or deliver a corrected file."
    if content != batch.content_hash:
        return batch, f"{told} is another file by now: load it as a delivery, ./cdmflow run --drop {folder}"
    if table.contract_hash == batch.contract_hash:
        return batch, (
            f"{told}: neither the file nor the contract has changed, so the same records would be rejected. "
            f"Adapt {contract.path}, or deliver a corrected file."
        )
    return batch, ""


def _overtaken(attempt: Attempt) -> str:
    """Why a refused run's batches can no longer count; '' where they can."""
    if attempt.refused is None:
        return ""
    run = load_run(attempt.refused)
    if run.status == "published":
        return f"Run {run.run_id} has published; its rows are judged in the next run."
    newer = delivered_since(run)
    if run.parameters.get("base_run") is None and newer:
        return (
            f"Run {run.run_id} was a complete delivery, and a newer one of {', '.join(sorted(newer))} was published: "
            "deliver it again."
        )
    return ""


def open_retry(attempt: Attempt) -> str:
    """Record the run of an attempt on top of the current release; its id."""
    base = current_run(attempt.source)
    fresh = {"rules": rules_digest(attempt.source), "maps": maps_digest(attempt.source), "is_live": False}
    fresh |= {"tables": list(attempt.tables), "replaces": list(attempt.replaces), "replays": attempt.refused}
    run_id = new_run_id()
    if attempt.refused is None:
        chosen: dict[str, Any] = dict.fromkeys(("vocabulary_folder", "vocabulary_id", "business_date", "night"))
        chosen |= {"is_drop": True, "is_backfill": False, "persons_file": None, "base_run": base}
    else:
        run = load_run(attempt.refused)
        chosen = dict(run.parameters)
        chosen.pop("landed", None)
        if chosen["base_run"] is not None:
            chosen["base_run"] = base
        if chosen["vocabulary_folder"] is not None and run.vocabulary_id is not None:
            chosen |= {"vocabulary_folder": None, "vocabulary_id": run.vocabulary_id}
    if attempt.folder is not None:
        chosen["input_folder"] = attempt.folder
    insert_run(run_id, attempt.source, chosen | fresh)
    return run_id


def replayed_batches(run: Run) -> dict[str, list[int]]:
    """The batches by table that a run takes from the refused one that it tries again; none for any other run.

    A snapshot that a newer night has delivered and published since does not count again.
    """
    refused = run.parameters.get("replays")
    if not refused:
        return {}
    before = load_run(refused)
    contract = land.load_contract(settings(), run.source)
    batches = land.batches_by_table(
        engine(database(settings())), run.source, _still_there(before.parameters.get("landed") or [], contract.tables)
    )
    newer = delivered_since(before)
    return {
        name: numbers
        for name, numbers in batches.items()
        if name in contract.tables and not (contract.tables[name].change == "snapshot" and name in newer)
    }


def _still_there(batch_ids: Sequence[int], tables: Mapping[str, Any]) -> list[int]:
    """Batches of tables that the contract still has."""
    batch = state.batch.c
    with engine(database(settings())).connect() as con:
        rows = con.execute(
            sqlalchemy.select(batch.batch_id).where(batch.batch_id.in_(batch_ids), batch.table_name.in_(list(tables)))
        ).scalars()
        known = set(rows)
    return [number for number in batch_ids if number in known]


def delivered_since(run: Run) -> set[str]:
    """Tables that runs delivered and published which began after this one."""
    other = state.run.c
    with engine(database(settings())).connect() as con:
        began = sqlalchemy.select(other.started_at).where(other.run_id == run.run_id).scalar_subquery()
        later = con.execute(
            sqlalchemy.select(other.parameters).where(
                other.source == run.source, other.status == "published", other.started_at > began
            )
        ).scalars()
        landed = [number for parameters in later for number in parameters.get("landed") or []]
    return set(land.batches_by_table(engine(database(settings())), run.source, landed)) if landed else set()
