"""What each step does. The same functions serve Airflow's tasks and the command line."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

from sqlalchemy.dialects.postgresql import insert

from etl import land, state, vocabulary
from etl.config import settings
from etl.engine import connection, count_rows, run_model
from etl.errors import CdmflowError
from etl.log import get_logger
from etl.pipeline import account, nights
from etl.pipeline.extract import extract, extract_folder
from etl.pipeline.failures import told_plainly
from etl.pipeline.gate import judge_candidate, judge_drift, judge_landing
from etl.pipeline.mapping_report import report_mapping
from etl.pipeline.models import models, part_numbers
from etl.pipeline.people import assign_person_ids, number_landed_persons
from etl.pipeline.release import publish_run, publish_vocabulary_of
from etl.pipeline.retry import replayed_batches
from etl.pipeline.runs import (
    Run,
    chosen_vocabulary,
    current_run,
    database,
    engine,
    files_of_base,
    load_run,
    record,
    relations,
    release_of,
    remember_landing,
    use_vocabulary,
    write_parameters,
)
from etl.pipeline.scope import narrow
from etl.pipeline.steps import Step, steps

log = get_logger(__name__)


@dataclass(frozen=True)
class StepResult:
    """Rows read and written by a step (None where it has none), seconds, one line for a person to read."""

    step: str
    rows_in: int | None
    rows_out: int | None
    seconds: float
    message: str = ""


Outcome = tuple[int | None, int | None, str]


def run_step(run_id: str, step: str) -> StepResult:
    """Run one step of a run and record it. Doing it again writes the same outputs again.

    Raises CdmflowError (bad data: no retry helps), GateRefused, DiskFull, or DatabaseUnavailable (a retry may help).
    """
    run = load_run(run_id)
    chosen = next((known for known in steps(run.source) if known.name == step), None)
    if chosen is None:
        raise CdmflowError(f"There is no step {step}.", todo=f"Steps: {', '.join(s.name for s in steps(run.source))}.")
    started = time.monotonic()
    work = WORK.get(step)
    with told_plainly(f"Step {step} of run {run_id}"):
        rows_in, rows_out, message = work(run) if work else run_models(run, chosen)
        result = StepResult(step, rows_in, rows_out, time.monotonic() - started, message)
        _remember(run_id, result)
    log.info(
        "%s: rows in %s, rows out %s, %.2f s. %s",
        step, _shown(rows_in), _shown(rows_out), result.seconds, message,
    )  # fmt: skip
    return result


def _shown(rows: int | None) -> str:
    return "–" if rows is None else f"{rows:,}"


def _remember(run_id: str, result: StepResult) -> None:
    values = {
        "rows_in": result.rows_in,
        "rows_out": result.rows_out,
        "seconds": result.seconds,
        "message": result.message,
    }
    statement = insert(state.run_step).values(run_id=run_id, step=result.step, **values)
    with engine(database(settings())).begin() as con:
        con.execute(statement.on_conflict_do_update(index_elements=["run_id", "step"], set_=values))


def run_models(run: Run, step: Step) -> Outcome:
    """Run the SQL files of a step, each after those it reads."""
    known, readable = models(run.source), relations(run)
    if any("run.parameter" in known[name].inputs for name in step.models):
        write_parameters(run)
    variables = {"concept": vocabulary.variables(), "part": part_numbers()}
    rows_in = rows_out = 0
    said = []
    with connection() as con:
        for name in step.models:
            model = known[name]
            rows_in += sum(count_rows(readable[read]) for read in model.inputs if not read.startswith("vocabulary."))
            written = sum(
                run_model(
                    file.read_text(encoding="utf-8"),
                    readable,
                    output,
                    columns=model.columns,
                    variables=variables,
                    con=con,
                )
                for file, output in zip(model.files, model.outputs(run.folder), strict=True)
            )
            rows_out += written
            said.append(f"{name.split('.')[1]} {written:,}")
    if step.name == "account":
        said = [account.settle(run, engine(database(settings())))]
    if step.name == "mapping_coverage" and run.scope == "persons":
        said = ["of the persons concerned only, so not reported"]
    elif step.name == "mapping_coverage":
        said = [report_mapping(run)]
    return rows_in, rows_out, ", ".join(said)


def _land(run: Run) -> Outcome:
    configured = settings()
    db = engine(database(configured))
    contract = whole = land.load_contract(configured, run.source)
    folder = run.parameters["input_folder"]
    is_live = bool(run.parameters.get("is_live"))
    only = run.parameters.get("tables")  # a retry lands no table, or those whose records were turned away
    if only is not None:
        contract = replace(contract, tables={name: contract.tables[name] for name in only})
        folder = folder if only else None
    if is_live:
        contract = land.as_extracted(contract)
        folder = extract(run, contract)
    landed = land.LandingResult((), (), {}, {}, {})
    if folder is not None:
        landed = land.land_folder(
            configured,
            db,
            contract,
            Path(folder),
            run_id=run.run_id,
            is_drop=bool(run.parameters.get("is_drop")) or only is not None,
            workers=configured.workers,
        )
    if is_live:
        shutil.rmtree(extract_folder(run), ignore_errors=True)
    number_landed_persons(db, contract, configured)
    contract = whole
    arrived = replayed_batches(run) | {batch.table: [batch.batch_id] for batch in landed.batches}
    if run.parameters.get("is_backfill"):
        night = nights.night_of(run)
        assert night is not None
        replayed = nights.delivered_last(run.source, night)
        arrived |= {name: [batch] for name, batch in replayed.items() if name not in arrived}
    batch_ids = _state_after(run, contract, arrived)
    earlier, by_table = files_of_base(run), land.batches_by_table(db, run.source, batch_ids)
    current = land.current_tables(configured, db, contract, batch_ids, run.folder, earlier)
    unchanged = {name for name, before in earlier.items() if before.batches == by_table.get(name, [])}
    given = run.parameters.get("business_date")
    cutoff = date.fromisoformat(given) if given else land.business_date(db, batch_ids)
    if cutoff is None:
        raise CdmflowError(
            "No landed row has a date, so the data cut-off is unknown.",
            state="Nothing was published.",
            todo="Give it with --date, or check the business dates in tables.yml.",
        )
    paths = {
        name: [land.batch_path(configured, run.source, name, number) for number in ids]
        for name, ids in arrived.items()
        if not _took_batches_away(run, name, batch_ids)
    }
    again = _persons_again(run, contract, arrived)
    concerned, narrowed = narrow(run, contract, current, paths, unchanged, cutoff, again)
    remember_landing(run, current, narrowed)
    record(
        run.run_id,
        scope="all" if concerned.persons is None else "persons",
        batch_ids=batch_ids,
        cutoff_date=cutoff,
        parameters=run.parameters | {"landed": [number for ids in arrived.values() for number in ids]},
    )
    if not again and _is_as_published(run, batch_ids, cutoff):
        record(run.run_id, status="unchanged", ended_at=datetime.now(UTC), message="the drop brought nothing new")
    rejected = sum(sum(reasons.values()) for reasons in landed.rejected.values())
    missing = f"; not delivered: {', '.join(landed.missing_optional)}" if landed.missing_optional else ""
    received = sum(batch.received for batch in landed.batches)
    told = f"; {concerned.reason}" if run.parameters.get("base_run") else ""
    return received, received - rejected, f"{rejected:,} rejected{missing}{told}"


def _took_batches_away(run: Run, table: str, batch_ids: list[int]) -> bool:
    """Whether the run's state lacks a batch of the base run's: then more rows differ than those that arrived."""
    base = run.parameters.get("base_run")
    if base is None:
        return False
    before = land.batches_by_table(engine(database(settings())), run.source, load_run(base).batch_ids or [])
    return not set(before.get(table, [])) <= set(batch_ids)


def _persons_again(run: Run, contract: land.Contract, arrived: dict[str, list[int]]) -> list[str]:
    """Keys of the persons that a backfill makes again though nothing of theirs changed."""
    if not run.parameters.get("is_backfill"):
        return []
    chosen = run.parameters["persons_file"]
    if chosen is not None:
        return nights.keys_of_persons(run.source, Path(chosen))
    return nights.persons_of_batches(contract, {name: batches[-1] for name, batches in arrived.items()})


def _state_after(run: Run, contract: land.Contract, arrived: dict[str, list[int]]) -> list[int]:
    """The batches that make up every table's state, oldest first: those of the base run, changed by what arrived.

    A complete delivery counts tables as empty that it lacks; what is appended to goes on from the current release.
    """
    db = engine(database(settings()))
    base_run = run.parameters.get("base_run") or current_run(run.source)
    replaced = run.parameters.get("replaces", [])
    kept_before = (
        [number for number in (load_run(base_run).batch_ids or []) if number not in replaced] if base_run else []
    )
    before = land.batches_by_table(db, run.source, kept_before)
    night = nights.night_of(run)
    known = nights.known_nights(run.source) if night else None
    is_complete = run.parameters.get("base_run") is None
    kept: list[int] = []
    for name, table in contract.tables.items():
        if is_complete and table.change == "snapshot":
            kept += arrived.get(name, [])
        elif night is None or known is None:
            kept += land.kept_batches(table, before.get(name, []), arrived.get(name, []))
        else:
            is_dated = nights.is_dated(run.parameters)
            kept += nights.placed(
                table, before.get(name, []), arrived.get(name, []), night, is_dated=is_dated, known=known
            )
    return kept


def _is_as_published(run: Run, batch_ids: list[int], cutoff: date) -> bool:
    """Whether a drop left everything as it is in the current release: rows, cut-off, vocabulary and rules."""
    if not run.parameters.get("is_drop"):
        return False
    base = load_run(run.parameters["base_run"])
    return (
        batch_ids == base.batch_ids
        and chosen_vocabulary(run).vocabulary_id == base.vocabulary_id
        and cutoff == base.cutoff_date
        and all(run.parameters[name] == base.parameters.get(name) for name in ("rules", "maps"))
    )


def _load_vocabulary(run: Run) -> Outcome:
    version = chosen_vocabulary(run)
    record(run.run_id, vocabulary_id=version.vocabulary_id)
    mapped = count_rows([use_vocabulary(run, version.vocabulary_id)])
    rows = sum(version.counts.values())
    warned = f", {len(version.warnings)} warnings" if version.warnings else ""
    return rows, rows, f"version {version.version}, {mapped:,} custom maps{warned}"


def _person_ids(run: Run) -> Outcome:
    persons = models(run.source)["source.src_person"].outputs(run.folder)
    total, new = assign_person_ids(engine(database(settings())), run, persons)
    return count_rows(persons), total, f"{new:,} new"


def _landing_gate(run: Run) -> Outcome:
    verdict = judge_landing(run)
    return None, None, verdict


def _gate(run: Run) -> Outcome:
    return None, None, _judged_before(run) or judge_candidate(run)


def _drift_gate(run: Run) -> Outcome:
    return None, None, _judged_before(run) or judge_drift(run)


def _judged_before(run: Run) -> str:
    """Why a published run's gates are not asked again: they would take its own rows for those of the release before."""
    release = release_of(run.run_id)
    return f"release {release} was judged before it was published" if release is not None else ""


def _publish_vocabulary(run: Run) -> Outcome:
    return publish_vocabulary_of(run)


def _publish(run: Run) -> Outcome:
    return publish_run(run)


WORK: dict[str, Callable[[Run], Outcome]] = {
    "land": _land,
    "landing_gate": _landing_gate,
    "load_vocabulary": _load_vocabulary,
    "person_ids": _person_ids,
    "gate": _gate,
    "drift_gate": _drift_gate,
    "publish_vocabulary": _publish_vocabulary,
    "publish": _publish,
}
