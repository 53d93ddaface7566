"""Load an Athena bundle: check, write beside, register, rename. A broken bundle leaves nothing behind."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import OperationalError

from etl import state
from etl.cdm import tables
from etl.config import Settings
from etl.engine import connection, quote_path
from etl.errors import DatabaseUnavailable
from etl.log import get_logger
from etl.state.locks import VOCABULARY_LOCK
from etl.vocabulary.bundle import BUNDLE_TABLES, BundleFile, content_hash, find_files, unpack
from etl.vocabulary.complete import Completed, complete
from etl.vocabulary.named import NAMED_CONCEPTS_FILE
from etl.vocabulary.parse import parse_file

log = get_logger(__name__)

Progress = Callable[[str], None]
SCRATCH = ".loading"


@dataclass(frozen=True)
class VocabularyVersion:
    """A loaded vocabulary. `path` holds <table>.parquet for all nine tables; `counts` is rows by table."""

    vocabulary_id: int
    version: str
    path: Path
    counts: dict[str, int]
    warnings: tuple[str, ...]


def load_bundle(
    settings: Settings, engine: sqlalchemy.Engine, folder: Path, progress: Progress | None = None
) -> VocabularyVersion:
    """Load the bundle in `folder` (or zip) into the lake; the same content twice gives the first version again.

    Errors: ContractError names file, line and column, and nothing is adopted. The tables get into PostgreSQL later,
    by the first publish that uses them.
    """
    tell = progress or log.info
    with _alone(engine):
        scratch = settings.vocabulary_dir / SCRATCH
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            return _load(settings, engine, folder, scratch, tell)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _load(
    settings: Settings, engine: sqlalchemy.Engine, folder: Path, scratch: Path, tell: Progress
) -> VocabularyVersion:
    columns = {table: tables()[table].column_names for table in BUNDLE_TABLES}
    files = find_files(unpack(folder, scratch / "unpacked"), columns)
    digest = content_hash(files, NAMED_CONCEPTS_FILE.read_bytes())
    known = _registered(settings, engine, digest)
    if known and _is_complete(known.path):
        tell(f"vocabulary {known.vocabulary_id} ({known.version}) is loaded already")
        return known
    parsed = _parse(files, scratch / "parsed", tell)
    done = complete(parsed, scratch / "tables")
    version = _version(scratch / "tables", digest)
    loaded = _adopt(settings, engine, scratch / "tables", digest, version, done)
    tell(f"vocabulary {loaded.vocabulary_id} ({version}): {done.counts['concept']:,} concepts")
    for warning in loaded.warnings:
        log.warning(warning)
    return loaded


def _parse(files: dict[str, BundleFile], output: Path, tell: Progress) -> dict[str, Path]:
    parsed = {}
    for table, file in files.items():
        parsed[table] = output / f"{table}.parquet"
        rows = parse_file(file, tables()[table], parsed[table])
        tell(f"vocabulary: {file.path.name}, {rows:,} rows")
    return parsed


def _version(folder: Path, digest: str) -> str:
    """Athena's release name stands in the row of the vocabulary called None."""
    vocabulary = quote_path(folder / "vocabulary.parquet")
    with connection(threads=1) as con:
        row = con.execute(
            f"SELECT vocabulary_version FROM read_parquet({vocabulary}) WHERE vocabulary_id = 'None'"
        ).fetchone()
    return str(row[0]) if row and row[0] else f"unversioned-{digest[:8]}"


def _adopt(
    settings: Settings, engine: sqlalchemy.Engine, folder: Path, digest: str, version: str, done: Completed
) -> VocabularyVersion:
    """Register and rename in one transaction: a kill between the two leaves a folder that no row names."""
    facts = {"version": version, "counts": done.counts, "warnings": done.warnings}
    with engine.begin() as transaction:
        vocabulary_id = transaction.execute(
            insert(state.vocabulary)
            .values(content_hash=digest, path="", **facts)
            .on_conflict_do_update(index_elements=["content_hash"], set_=facts)
            .returning(state.vocabulary.c.vocabulary_id)
        ).scalar_one()
        path = settings.vocabulary_dir / str(vocabulary_id)
        # relative to the home, so that a home can be moved
        transaction.execute(
            sqlalchemy.update(state.vocabulary)
            .where(state.vocabulary.c.vocabulary_id == vocabulary_id)
            .values(path=str(path.relative_to(settings.home)))
        )
        shutil.rmtree(path, ignore_errors=True)
        folder.rename(path)
    return VocabularyVersion(vocabulary_id, version, path, done.counts, tuple(done.warnings))


def _is_complete(path: Path) -> bool:
    return all((path / f"{table}.parquet").is_file() for table in BUNDLE_TABLES)


def _registered(settings: Settings, engine: sqlalchemy.Engine, digest: str) -> VocabularyVersion | None:
    with engine.connect() as reading:
        row = reading.execute(
            sqlalchemy.select(state.vocabulary).where(state.vocabulary.c.content_hash == digest)
        ).one_or_none()
    return _as_version(settings, row) if row else None


def loaded_versions(settings: Settings, engine: sqlalchemy.Engine) -> Sequence[VocabularyVersion]:
    """All loaded vocabularies, oldest first."""
    with engine.connect() as reading:
        rows = reading.execute(sqlalchemy.select(state.vocabulary).order_by(state.vocabulary.c.vocabulary_id)).all()
    return [_as_version(settings, row) for row in rows]


def _as_version(settings: Settings, row: sqlalchemy.Row[tuple[object, ...]]) -> VocabularyVersion:
    return VocabularyVersion(
        vocabulary_id=row.vocabulary_id,
        version=row.version,
        path=settings.home / row.path,
        counts=dict(row.counts),
        warnings=tuple(row.warnings),
    )


@contextmanager
def _alone(engine: sqlalchemy.Engine) -> Iterator[None]:
    """Hold a session lock while loading; it goes with the session, so a killed loader blocks nobody."""
    try:
        opened = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    except OperationalError as error:
        raise DatabaseUnavailable(
            "The database cannot be reached, so no vocabulary can be registered.",
            state="Nothing was loaded.",
            todo="Start it with ./cdmflow start, or check CDMFLOW_DATABASE_URL.",
        ) from error
    with opened as session:
        session.execute(sqlalchemy.select(sqlalchemy.func.pg_advisory_lock(VOCABULARY_LOCK)))
        try:
            yield
        finally:
            session.execute(sqlalchemy.select(sqlalchemy.func.pg_advisory_unlock(VOCABULARY_LOCK)))
