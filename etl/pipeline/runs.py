"""A run: its record in `etl.run`, its folder in the lake, what its SQL may read."""

import json
import re
import secrets
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError

from etl import __version__, state, vocabulary
from etl.cdm import CDM_VERSION, Column, source_models, tables
from etl.config import PROJECT, Settings, settings
from etl.engine import connection, empty_relation, write_parquet, written_beside
from etl.errors import Locked, UsageError
from etl.land import Earlier, batches_by_table, current_tables, load_contract
from etl.log import get_logger
from etl.pipeline.models import checks_digest, maps_digest, models, rules_digest, sources
from etl.postgres import Database, ensure_server
from etl.state.locks import OPEN_LOCK, RUN_LOCK

log = get_logger(__name__)

COMMAND_LINE_RUN = "^[0-9]{8}T[0-9]{6}-[0-9a-f]{6}$"
RUN_ID = re.compile(r"^[A-Za-z0-9_.:+-]{1,120}$")
RUN_PARAMETER = (
    Column("source", "varchar"),
    Column("cutoff_date", "date"),
    Column("vocabulary_version", "varchar"),
    Column("cdm_version", "varchar"),
    Column("code_version", "varchar"),
    Column("observation_period", "varchar"),
    Column("same_day_outpatient", "varchar"),
)


@cache
def database(configured: Settings) -> Database:
    """The database of this home, started if need be; once per process."""
    found = ensure_server(configured)
    state.create_tables(engine(found))
    return found


@cache
def engine(found: Database) -> sqlalchemy.Engine:
    """The ETL role's engine of this process."""
    return state.connect(found.etl_url)


@dataclass(frozen=True)
class Run:
    """A run as recorded; what later steps found out is None until then."""

    run_id: str
    source: str
    scope: str
    status: str
    parameters: dict[str, Any]
    batch_ids: list[int] | None
    vocabulary_id: int | None
    cutoff_date: date | None
    landing_verdict: dict[str, Any] | None
    verdict: dict[str, Any] | None
    drift_verdict: dict[str, Any] | None
    code_version: str
    message: str | None

    @property
    def folder(self) -> Path:
        return settings().runs_dir / self.run_id


@cache
def code_version() -> str:
    """`0.1.0+<commit>`, with `.dirty` for uncommitted changes; `0.1.0` outside a checkout."""
    git = ["git", "-C", str(PROJECT)]
    try:
        commit = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return __version__
    return f"{__version__}+{commit.stdout.strip()}{'.dirty' if changed.stdout.strip() else ''}"


def new_run_id() -> str:
    """Sortable by time, unique: `20261123T204500-3fa9c1`."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def open_run(
    *,
    source: str,
    input_folder: str | None,
    vocabulary_folder: str | None,
    vocabulary_id: int | None = None,
    is_drop: bool = False,
    is_live: bool = False,
    business_date: str | None = None,
    night: date | None = None,
    is_backfill: bool = False,
    persons_file: str | None = None,
    run_id: str | None = None,
) -> str:
    """Record a run and return its id; opening the same id again continues it.

    `night` is the date that the run's data belongs to; a drop folder named after a date is that night's. `is_backfill`
    brings that night again, from its folder, from the database or from its landed batches, and makes the persons of its
    batches again, or those of `persons_file` (person_ids, one a line).

    `is_live` reads the source database instead of a folder: everything at first, then what changed since the current
    release. A drop is what changed since then: tables that it lacks stay as they are there. Without an input folder
    everything is made again from the batches of that release; with `vocabulary_id`, a loaded version, only what it
    changes. All take that release's vocabulary unless another is given, and refuse where nothing
    was published yet.
    """
    if source not in sources():
        raise UsageError(f"There is no source {source!r}.", todo=f"Sources with a contract: {', '.join(sources())}.")
    for what, folder in (("input", input_folder), ("vocabulary", vocabulary_folder)):
        if folder is not None and not Path(folder).exists():
            raise UsageError(f"The {what} folder {folder} does not exist.", state="Nothing was loaded.")
    if business_date is not None:
        _date(business_date)
    if is_backfill and night is None:
        raise UsageError("A backfill is of a night.", todo="Name its date.")
    run_id = run_id or new_run_id()
    if not RUN_ID.match(run_id):
        raise UsageError(f"{run_id!r} is no run id: letters, digits and . _ : + - only.")
    is_drop = is_drop or is_backfill
    base_run = current_run(source) if is_drop or input_folder is None else None
    is_drop = is_drop or (is_live and base_run is not None)
    night = night or (night_of_folder(input_folder) if is_drop else None)
    if base_run is None and not is_live and (is_drop or input_folder is None):
        raise UsageError(
            f"Source {source} has no release that this could start from.",
            state="Nothing was loaded.",
            todo="Load everything first: ./cdmflow run --input DIR --vocabulary DIR.",
        )
    if base_run is None and vocabulary_folder is None:
        raise UsageError("A full load needs a vocabulary.", todo="Name the folder of an Athena bundle.")
    if vocabulary_id is not None:
        _refuse_vocabulary(vocabulary_id, base_run, is_alone=input_folder is None and vocabulary_folder is None)
    parameters = {
        "input_folder": _whole_path(input_folder),
        "vocabulary_folder": _whole_path(vocabulary_folder),
        "vocabulary_id": vocabulary_id,
        "is_drop": is_drop,
        "is_live": is_live,
        "base_run": base_run,
        "business_date": business_date,
        "night": None if night is None else str(night),
        "is_backfill": is_backfill,
        "persons_file": _whole_path(persons_file),
        "rules": rules_digest(source),
        "maps": maps_digest(source),
        "checks": checks_digest(),
    }
    insert_run(run_id, source, parameters)
    return run_id


def insert_run(run_id: str, source: str, parameters: Mapping[str, Any]) -> None:
    """Record a run as running, or as running again after it failed, and make its folder."""
    values = {
        "run_id": run_id,
        "source": source,
        "scope": "all",  # until landing has found out whom the run concerns
        "status": "running",
        "parameters": dict(parameters),
        "code_version": code_version(),
    }
    with engine(database(settings())).begin() as con:
        con.execute(insert(state.run).values(**values).on_conflict_do_nothing())
        con.execute(
            state.run.update()
            .where(state.run.c.run_id == run_id, state.run.c.status == "failed")
            .values(status="running", ended_at=None)
        )
    load_run(run_id).folder.mkdir(parents=True, exist_ok=True)


def _refuse_vocabulary(vocabulary_id: int, base_run: str | None, *, is_alone: bool) -> None:
    if not is_alone:
        raise UsageError("A vocabulary is adopted by itself, without input and without another one.")
    with engine(database(settings())).connect() as con:
        loaded = con.execute(sqlalchemy.select(state.vocabulary.c.vocabulary_id)).scalars().all()
    if vocabulary_id not in loaded:
        raise UsageError(
            f"There is no vocabulary {vocabulary_id}.", todo="Load it first: ./cdmflow vocabulary load BUNDLE."
        )
    if base_run is not None and load_run(base_run).vocabulary_id == vocabulary_id:
        raise UsageError(f"Vocabulary {vocabulary_id} is the current release's already.", state="Nothing was changed.")


def night_of_folder(folder: str | None) -> date | None:
    """The date that a drop folder is named after; None for any other name."""
    try:
        return date.fromisoformat(Path(folder).name) if folder else None
    except ValueError:
        return None


def _whole_path(folder: str | None) -> str | None:
    return None if folder is None else str(Path(folder).resolve())


def current_run(source: str) -> str | None:
    """The run whose release of this source is served; None before the first."""
    run, release = state.run.c, state.release.c
    with engine(database(settings())).connect() as con:
        found: str | None = con.execute(
            sqlalchemy.select(release.run_id)
            .join_from(state.release, state.run)
            .where(run.source == source, release.withdrawn_at.is_(None))
            .order_by(release.release_id.desc())
            .limit(1)
        ).scalar_one_or_none()
    return found


def release_of(run_id: str) -> int | None:
    """The number of the release that a run has published, withdrawn or not."""
    with engine(database(settings())).connect() as con:
        return release_in(con, run_id)


def release_in(con: sqlalchemy.Connection, run_id: str) -> int | None:
    """The same, over a connection that is open."""
    release = state.release.c
    return con.execute(sqlalchemy.select(release.release_id).where(release.run_id == run_id)).scalar_one_or_none()


@contextmanager
def opening() -> Iterator[None]:
    """Hold the right to open a run: who opens one looks for others at work first, one process at a time."""
    with engine(database(settings())).connect() as con:
        con = con.execution_options(isolation_level="AUTOCOMMIT")
        con.execute(sqlalchemy.select(sqlalchemy.func.pg_advisory_lock(OPEN_LOCK)))
        try:
            yield
        finally:
            _unlock(con, OPEN_LOCK)


def open_runs() -> list[str]:
    """The ids of all runs that are recorded as running, oldest first; a killed one's too until it is found out."""
    mine = state.run.c
    with engine(database(settings())).connect() as con:
        query = sqlalchemy.select(mine.run_id).where(mine.status == "running").order_by(mine.started_at)
        return list(con.execute(query).scalars())


def is_from_command_line(run_id: str) -> bool:
    """Whether the command line opened the run: Airflow's ids have another form."""
    return re.match(COMMAND_LINE_RUN, run_id) is not None


def is_run_lock_held() -> bool:
    """Whether some process takes a command line run through its steps right now."""
    held = (
        "SELECT count(*) FROM pg_locks JOIN pg_database AS here ON here.oid = database "
        "WHERE locktype = 'advisory' AND classid = 0 AND objid = :lock AND granted AND datname = current_database()"
    )
    with engine(database(settings())).connect() as con:
        return bool(con.execute(sqlalchemy.text(held), {"lock": RUN_LOCK}).scalar_one())


@contextmanager
def run_lock(run_id: str) -> Iterator[None]:
    """Hold the one run of this database for a command line run; Locked when another holds it.

    A session's advisory lock: it goes with its process, however that ends.
    """
    with engine(database(settings())).connect() as con:
        con = con.execution_options(isolation_level="AUTOCOMMIT")
        if not con.execute(sqlalchemy.select(sqlalchemy.func.pg_try_advisory_lock(RUN_LOCK))).scalar_one():
            raise Locked(
                f"Another run holds the lock; run {run_id} did not start.",
                state="Nothing was written.",
                todo="Wait for it: ./cdmflow status shows what is running.",
            )
        try:
            _close_abandoned(run_id)
            yield
        finally:
            _unlock(con, RUN_LOCK)


def _unlock(con: sqlalchemy.Connection, lock: int) -> None:
    """Give a session's lock back; a session that is broken has none any more."""
    try:
        con.execute(sqlalchemy.select(sqlalchemy.func.pg_advisory_unlock(lock)))
    except DBAPIError as error:
        log.info("lock %#x went with its session (%s)", lock, type(error.orig).__name__)


def _close_abandoned(run_id: str) -> None:
    """End the records of command line runs whose process was killed: who holds the lock knows that none is alive.

    Airflow's runs do not hold it and have ids of another form.
    """
    mine = state.run.c
    with engine(database(settings())).begin() as con:
        con.execute(
            state.run.update()
            .where(mine.status == "running", mine.run_id != run_id, mine.run_id.regexp_match(COMMAND_LINE_RUN))
            .values(status="failed", ended_at=datetime.now(UTC), message="its process ended before the run did")
        )


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a date.", todo="Write it as 2026-11-23.") from None


def load_run(run_id: str) -> Run:
    """The run as recorded."""
    wanted = [state.run.c[name] for name in Run.__dataclass_fields__]
    with engine(database(settings())).connect() as con:
        row = con.execute(sqlalchemy.select(*wanted).where(state.run.c.run_id == run_id)).one_or_none()
    if row is None:
        raise UsageError(f"There is no run {run_id}.", todo="./cdmflow status lists the last runs.")
    return Run(**row._mapping)


def record(run_id: str, **values: object) -> None:
    """Write what a step found out into the run's record."""
    with engine(database(settings())).begin() as con:
        con.execute(state.run.update().where(state.run.c.run_id == run_id).values(**values))


def close_run(run_id: str, *, failed: bool, message: str | None = None) -> None:
    """End a run; one that published, brought nothing new or was refused keeps that status and the time of it.

    From then on another run may begin, whatever of this one's tasks is still to be closed.
    """
    ended = sqlalchemy.func.coalesce(state.run.c.ended_at, datetime.now(UTC))
    with engine(database(settings())).begin() as con:
        con.execute(state.run.update().where(state.run.c.run_id == run_id).values(ended_at=ended))
        con.execute(
            state.run.update()
            .where(state.run.c.run_id == run_id, state.run.c.status == "running")
            .values(status="failed" if failed else "candidate", message=message)
        )


def write_parameters(run: Run) -> Path:
    """The one row that SQL reads as `run.parameter`; the same each time, so any step may write it."""
    with engine(database(settings())).connect() as con:
        vocabulary_version = con.execute(
            sqlalchemy.select(state.vocabulary.c.version).where(state.vocabulary.c.vocabulary_id == run.vocabulary_id)
        ).scalar_one()
    contract = load_contract(settings(), run.source)
    values = (
        run.source,
        str(run.cutoff_date),
        vocabulary_version,
        CDM_VERSION,
        run.code_version,
        contract.observation_period,
        contract.same_day_outpatient,
    )
    text = ", ".join(
        f"CAST('{value.replace(chr(39), chr(39) * 2)}' AS {column.sql_type}) AS {column.name}"
        for column, value in zip(RUN_PARAMETER, values, strict=True)
    )
    output = run.folder / "run" / "parameter.parquet"
    with connection(threads=1) as con:
        write_parquet(con, f"SELECT {text}", output)
    return output


def state_files(run: Run, folder: Path) -> dict[str, list[Path]]:
    """The files with the state of each source table as this run saw it, made below `folder` where there is none."""
    configured, batch_ids = settings(), run.batch_ids or []
    return current_tables(
        configured,
        engine(database(configured)),
        load_contract(configured, run.source),
        batch_ids,
        folder,
    )


def kept_state(run: Run) -> dict[str, list[Path]] | None:
    """The files with the run's state of each source table, as long as all of them are there."""
    kept = run.folder / "state.json"
    if not kept.exists():
        return None
    files = {name: [Path(path) for path in paths] for name, paths in json.loads(kept.read_text()).items()}
    return files if all(path.exists() for paths in files.values() for path in paths) else None


def files_of_base(run: Run) -> dict[str, Earlier]:
    """The base run's state of each table, as long as its files are there and the contract is the same."""
    base = load_run(run.parameters["base_run"]) if run.parameters.get("base_run") else None
    files = kept_state(base) if base else None
    if base is None or files is None or base.parameters.get("rules") != run.parameters["rules"]:
        return {}
    batches = batches_by_table(engine(database(settings())), run.source, base.batch_ids or [])
    return {name: Earlier(paths, batches.get(name, [])) for name, paths in files.items()}


def remember_landing(run: Run, current: Mapping[str, list[Path]], narrowed: Mapping[str, list[Path]]) -> None:
    """Keep which files are the current state of each source table, and which of them the run's SQL reads."""
    for name, files in (("state.json", current), ("landing.json", narrowed)):
        with written_beside(run.folder / name) as beside:
            beside.write_text(json.dumps({table: [str(path) for path in paths] for table, paths in files.items()}))


def relations(run: Run) -> dict[str, Sequence[Path]]:
    """Every relation that SQL of this run may name, with its Parquet files (some not yet written)."""
    found: dict[str, Sequence[Path]] = {
        "run.parameter": [run.folder / "run/parameter.parquet"],
        "state.person": [run.folder / "state/person.parquet"],
        "custom.source_to_concept_map": [run.folder / "custom/source_to_concept_map.parquet"],
    }
    landing = run.folder / "landing.json"
    if landing.exists():
        for table, paths in json.loads(landing.read_text()).items():
            found[f"landing.{table}"] = [Path(path) for path in paths]
    if run.vocabulary_id is not None:
        for name, table in tables().items():
            if table.schema == "VOCAB":
                found[f"vocabulary.{name}"] = [vocabulary_folder(run.vocabulary_id) / f"{name}.parquet"]
    known = models(run.source)
    for model in known.values():
        found[model.name] = model.outputs(run.folder)
    wanted = frozenset[str]().union(*(model.inputs for model in known.values()))
    for name, columns in _declared():
        if name in wanted and name not in known:
            found[name] = [_empty(run, name, columns)]
    return found


def use_vocabulary(run: Run, vocabulary_id: int) -> Path:
    """Write the source's own maps, as this vocabulary knows their targets, for the run's SQL; the file."""
    output = run.folder / "custom" / "source_to_concept_map.parquet"
    maps, concepts = settings().sources_dir / run.source / "map", vocabulary_folder(vocabulary_id) / "concept.parquet"
    vocabulary.custom_maps(maps, output, concepts)
    return output


def chosen_vocabulary(run: Run) -> vocabulary.VocabularyVersion:
    """The version that the run is made with: that of its bundle, loaded if need be; one it adopts; its base's."""
    configured = settings()
    db = engine(database(configured))
    bundle = run.parameters["vocabulary_folder"]
    if bundle is not None:
        return vocabulary.load_bundle(configured, db, Path(bundle))
    chosen = run.parameters.get("vocabulary_id") or load_run(run.parameters["base_run"]).vocabulary_id
    loaded = vocabulary.loaded_versions(configured, db)
    return next(version for version in loaded if version.vocabulary_id == chosen)


def vocabulary_folder(vocabulary_id: int) -> Path:
    return settings().vocabulary_dir / str(vocabulary_id)


def _declared() -> list[tuple[str, Sequence[Column]]]:
    cdm = [(f"cdm.{name}", table.fields) for name, table in tables().items() if table.schema == "CDM"]
    return [*((f"source.{name}", columns) for name, columns in source_models().items()), *cdm]


def _empty(run: Run, name: str, columns: Sequence[Column]) -> Path:
    """What a source does not fill: a Parquet with the columns and no row."""
    output = run.folder / "empty" / f"{name}.parquet"
    if not output.exists():
        with connection(threads=1) as con:
            write_parquet(con, empty_relation(columns), output)
    return output
