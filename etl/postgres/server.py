"""ensure, status and stop: the three things everyone else needs of PostgreSQL."""

import contextlib
import fcntl
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from etl.config import Settings
from etl.errors import CdmflowError, DatabaseUnavailable
from etl.log import get_logger
from etl.postgres import cluster, external, passwords, roles
from etl.postgres.database import Database, embedded_url, parse_url, session
from etl.postgres.place import Place, find_place, set_aside

log = get_logger(__name__)

EMBEDDED = "embedded"
EMBEDDED_ROLES = (cluster.SUPERUSER, roles.ETL, roles.READER)
QUICK_TIMEOUT_S = 3
READY_TIMEOUT_S = 60


@dataclass(frozen=True)
class ServerStatus:
    """`pid`, `data` and `log_file` are the embedded server's; None for a server behind CDMFLOW_DATABASE_URL."""

    running: bool
    embedded: bool
    host: str
    port: int | None
    dbname: str
    pid: int | None = None
    data: Path | None = None
    log_file: Path | None = None


def ensure_server(settings: Settings) -> Database:
    """A database that answers, with its accounts and the schemas etl, cdm and results; starts the server if needed.

    Safe to call from any number of processes at once; some 10 ms when all is well, 3 s for a home's first use.
    Errors: DatabaseUnavailable (with the log's path, or host:port), UsageError for a malformed CDMFLOW_DATABASE_URL.
    """
    if settings.database_url:
        with _locked(settings.postgres_dir):
            return external.ensure_database(parse_url(settings.database_url), settings.postgres_dir)
    database = _known_database(settings)
    if database and _is_ready(database, QUICK_TIMEOUT_S):
        return database
    with _locked(settings.postgres_dir):
        return _start_embedded(settings)


def stop_server(settings: Settings) -> bool:
    """Stops this home's embedded server; False when none ran. A server behind CDMFLOW_DATABASE_URL is left alone."""
    if not settings.postgres_dir.exists():
        return False
    with _locked(settings.postgres_dir):
        place = _existing_place(settings)
        return place is not None and cluster.stop(place)


def remove_server(settings: Settings) -> None:
    """Stops this home's embedded server and erases its data, also where they lie outside the home."""
    if not settings.postgres_dir.exists():
        return
    with _locked(settings.postgres_dir):
        place = _existing_place(settings)
        if place is not None:
            cluster.stop(place)
            shutil.rmtree(place.data)
            if place.is_outside:
                shutil.rmtree(place.data.parent)
    shutil.rmtree(settings.postgres_dir)


def server_status(settings: Settings) -> ServerStatus:
    """What runs and where; starts nothing and changes nothing."""
    if settings.database_url:
        url = parse_url(settings.database_url)
        running = external.answers(url)
        return ServerStatus(running, False, url.host or "", url.port or 5432, url.database or "")
    place = _existing_place(settings)
    pid = cluster.running_pid(place) if place else None
    port = _remembered_port(settings)
    data = place.data if place else None
    return ServerStatus(pid is not None, True, "127.0.0.1", port, roles.DATABASE, pid, data, _log_file(settings))


def _start_embedded(settings: Settings) -> Database:
    """Under the lock: whatever state the home is in, to a running, prepared server."""
    is_new_home = not (settings.postgres_dir / "place.json").exists()
    place = find_place(settings.postgres_dir)
    if is_new_home and place.is_outside and place.data.exists():
        cluster.stop(place)
        set_aside(place)
    secrets = _passwords(settings, place)
    if not place.data.exists():
        cluster.create(place, secrets[cluster.SUPERUSER])
    if cluster.running_pid(place) is None:
        port = cluster.start(place, _remembered_port(settings), _log_file(settings))
        _server_file(settings).write_text(json.dumps({"port": port}) + "\n")
        log.info("PostgreSQL started on 127.0.0.1:%d", port)
    database = _known_database(settings)
    if database is None:
        raise CdmflowError(
            f"PostgreSQL runs in {place.data}, but {_server_file(settings)} with its port is missing.",
            todo="Run `./cdmflow stop` and start again.",
        )
    _wait_until_it_answers(database, settings)
    passwords.write_pgpass(settings.postgres_dir, database.host, database.port, {roles.READER: secrets[roles.READER]})
    if _is_ready(database, QUICK_TIMEOUT_S):  # prepared before, or by another process just now
        return database
    roles.prepare_embedded(database, secrets)
    return database


def _passwords(settings: Settings, place: Place) -> dict[str, str]:
    if place.data.exists() and not passwords.stored(settings.postgres_dir, EMBEDDED):
        raise CdmflowError(
            f"The passwords of the database in {place.data} are lost ({settings.postgres_dir / passwords.FILE_NAME}).",
            state="The data are untouched.",
            todo="Restore that file, or move the data folder away and load again.",
        )
    return passwords.ensure(settings.postgres_dir, EMBEDDED, EMBEDDED_ROLES)


def _known_database(settings: Settings) -> Database | None:
    """The embedded database as this home's files describe it, running or not; None before its first start."""
    port = _remembered_port(settings)
    if port is None:
        return None
    known = passwords.stored(settings.postgres_dir, EMBEDDED)
    if not all(role in known for role in EMBEDDED_ROLES):
        return None
    urls = [embedded_url(port, role, known[role], roles.DATABASE) for role in EMBEDDED_ROLES]
    return Database(urls[0], urls[1], urls[2], settings.postgres_dir / passwords.PGPASS_NAME)


def _is_ready(database: Database, timeout_s: int) -> bool:
    """True when the ETL account gets in (so it is our server: it knows the password) and finds its schemas."""
    try:
        with session(database.etl_url, connect_timeout_s=timeout_s) as cursor:
            return not roles.missing_schemas(cursor)
    except DatabaseUnavailable:
        return False


def _wait_until_it_answers(database: Database, settings: Settings) -> None:
    """A server found running may still be in recovery after a kill."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while True:
        try:
            with session(database.named("postgres").admin_url):
                return
        except DatabaseUnavailable as error:
            if time.monotonic() > deadline:
                raise DatabaseUnavailable(error.what, todo=f"The server's log: {_log_file(settings)}") from None
            time.sleep(0.3)


def _existing_place(settings: Settings) -> Place | None:
    if not (settings.postgres_dir / "place.json").exists():
        return None
    place = find_place(settings.postgres_dir)
    return place if place.data.exists() else None


def _server_file(settings: Settings) -> Path:
    return settings.postgres_dir / "server.json"


def _log_file(settings: Settings) -> Path:
    return settings.logs_dir / "postgres.log"


def _remembered_port(settings: Settings) -> int | None:
    try:
        return int(json.loads(_server_file(settings).read_text())["port"])
    except (FileNotFoundError, ValueError, KeyError):
        return None


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process (or thread) at a time changes this home's server; the lock dies with its holder."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)  # the data folder's owner must pass; the secrets in here have mode 0600
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
