"""One data folder and its server process: create, start, stop."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import IO

from etl.errors import DatabaseUnavailable
from etl.log import get_logger
from etl.postgres.place import Account, Place, find_binaries, run_as

log = get_logger(__name__)

SUPERUSER = "cdmflow_admin"
START_TIMEOUT_S = 300  # recovery of a full WAL after a kill reads up to max_wal_size
STOP_TIMEOUT_S = 120
ORPHANS_TIMEOUT_S = 30  # backends of a killed postmaster end by themselves, usually within a second
SHARED_MEMORY_MIN_BYTES = 1 << 30
LOG_MAX_BYTES = 20 << 20

# 2 cores and 24 GiB are shared with DuckDB and Airflow.
# wal_level=minimal lets COPY into a table created in the same transaction, and index builds, skip the WAL: a million
# rows (70 MB) then write none instead of 87 MB, and their key and two indexes take 2.9 s instead of 6.1 s (busy).
# The log must hold no patient value: no statements, no parameters, no ERROR texts (they quote values), no DETAIL.
CONFIGURATION = """\
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 100
password_encryption = 'scram-sha-256'

shared_buffers = 512MB
work_mem = 32MB
maintenance_work_mem = 512MB
effective_cache_size = 6GB
max_parallel_maintenance_workers = 2
max_parallel_workers_per_gather = 2
dynamic_shared_memory_type = {shared_memory}
jit = off

wal_level = minimal
max_wal_senders = 0
max_wal_size = 6GB
min_wal_size = 256MB
checkpoint_timeout = 15min
wal_compression = on
fsync = on
synchronous_commit = off

autovacuum = on
client_connection_check_interval = 1s
timezone = 'UTC'
log_timezone = 'UTC'
datestyle = 'iso, ymd'

logging_collector = off
log_destination = 'stderr'
log_min_messages = log
log_min_error_statement = panic
log_error_verbosity = terse
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
log_statement = 'none'
log_line_prefix = '%m [%p] %u@%d '
"""

ACCESS = """\
# written by cdmflow: passwords only, this machine only
host all all 127.0.0.1/32 scram-sha-256
"""

# -ef compares what two paths lead to; only the account itself (or a root with all capabilities) may follow /proc/N/cwd
FIND_PROCESSES = 'for p in /proc/[0-9]*; do [ "$p/cwd" -ef "$1" ] && echo "${p#/proc/}"; done; true'


def create(place: Place, superuser_password: str) -> None:
    """initdb into a folder beside and renames it, so that an interrupted one is never taken for a database."""
    beside = place.data.with_name("data.new")
    secret = place.data.with_name("initdb.secret")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(mode=0o700)
    _give(beside, place.account)
    try:
        secret.touch(mode=0o600)
        secret.write_text(superuser_password)
        _give(secret, place.account)
        command: list[str | Path] = [find_binaries(place.account) / "initdb", "-D", beside, "-U", SUPERUSER]
        command += [f"--pwfile={secret}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--data-checksums"]
        outcome = run_as(place.account, command, output=subprocess.PIPE, timeout_s=300)
    finally:
        secret.unlink(missing_ok=True)
    if outcome.returncode != 0:
        raise DatabaseUnavailable(
            f"initdb failed in {place.data.parent}: {_last_line(outcome.stdout)}",
            state="There is no database yet.",
            todo="Check free space and the folder's owner, or set CDMFLOW_DATABASE_URL to a server.",
        )
    _write(beside / "pg_hba.conf", ACCESS, place.account)
    with (beside / "postgresql.conf").open("a") as file:
        file.write("\ninclude 'cdmflow.conf'\n")
    beside.rename(place.data)


def start(place: Place, port: int | None, log_file: Path) -> int:
    """Starts the server and returns its port: the remembered one, or a free one where that is taken."""
    binaries = find_binaries(place.account)
    _check_version(place, binaries)
    _clear_stale_pid_file(place)
    for attempt in range(3):
        if port is None or not _is_free(port):
            port = _free_port()
        _write(place.data / "cdmflow.conf", _configuration(port), place.account)
        with _append(log_file) as file:
            # pg_ctl puts the server into a session of its own, so it outlives this process and its terminal
            command: list[str | Path] = [binaries / "pg_ctl", "start", "-s", "-w", "-t", str(START_TIMEOUT_S)]
            outcome = run_as(
                place.account, [*command, "-D", place.data], output=file.fileno(), timeout_s=START_TIMEOUT_S + 30
            )
        if outcome.returncode == 0:
            return port
        log.info("PostgreSQL did not start on port %d (attempt %d)", port, attempt + 1)
        time.sleep(0.5)
        port = None
    raise DatabaseUnavailable(
        f"The embedded PostgreSQL in {place.data} does not start.",
        state="Its data are as they were.",
        todo=f"Its log says why: {log_file}",
    )


def stop(place: Place) -> bool:
    """Ends exactly this folder's server (fast mode: open transactions are rolled back); False when none ran."""
    if running_pid(place) is None:
        return False
    command: list[str | Path] = [find_binaries(place.account) / "pg_ctl", "stop", "-s", "-w", "-m", "fast"]
    outcome = run_as(
        place.account, [*command, "-t", str(STOP_TIMEOUT_S), "-D", place.data], timeout_s=STOP_TIMEOUT_S + 30
    )
    if outcome.returncode != 0 and running_pid(place) is not None:
        raise DatabaseUnavailable(
            f"The embedded PostgreSQL in {place.data} has not stopped within {STOP_TIMEOUT_S} s.",
            state="It was told to and may still be writing its checkpoint.",
            todo="Run the command again in a minute.",
        )
    return True


def running_pid(place: Place) -> int | None:
    """The postmaster's process id, only if that process really works in this folder (ids are reused)."""
    pid = _recorded_pid(place.data)
    return pid if pid is not None and pid in _processes(place) else None


def _recorded_pid(data: Path) -> int | None:
    try:
        return int((data / "postmaster.pid").read_text().splitlines()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return None


def _processes(place: Place) -> set[int]:
    """All processes whose working folder is the data folder: the postmaster and its backends, orphans included."""
    outcome = run_as(place.account, ["/bin/sh", "-c", FIND_PROCESSES, "sh", place.data], output=subprocess.PIPE)
    return {int(word) for word in outcome.stdout.split() if word.isdigit()}


def _clear_stale_pid_file(place: Place) -> None:
    """Removes what a killed server left, once no process of it is alive.

    PostgreSQL itself refuses to start while orphaned backends hold the shared memory, and for ever when the recorded id
    now belongs to another process of the same user, or to a zombie that no init collects (containers).
    """
    pid_file = place.data / "postmaster.pid"
    if not pid_file.exists():
        return
    deadline = time.monotonic() + ORPHANS_TIMEOUT_S
    while _processes(place):
        if time.monotonic() > deadline:
            raise DatabaseUnavailable(
                f"Processes of a killed PostgreSQL still work in {place.data}.",
                todo="Try again in a minute.",
            )
        time.sleep(0.2)
    pid_file.unlink(missing_ok=True)


def _check_version(place: Place, binaries: Path) -> None:
    version = run_as(place.account, [binaries / "postgres", "--version"], output=subprocess.PIPE).stdout
    major = (place.data / "PG_VERSION").read_text().strip()
    if f" {major}." not in version:
        raise DatabaseUnavailable(
            f"The data in {place.data} were made by PostgreSQL {major}, but this is {version.strip() or 'unknown'}.",
            state="They are untouched.",
            todo="Move them with pg_dump and the old version, or choose a new CDMFLOW_HOME and load again.",
        )


def _configuration(port: int) -> str:
    try:
        facts = os.statvfs("/dev/shm")
        roomy = facts.f_frsize * facts.f_blocks >= SHARED_MEMORY_MIN_BYTES
    except OSError:
        roomy = False
    # a container's /dev/shm has 64 MB by default: parallel joins would fail in it
    return CONFIGURATION.format(port=port, shared_memory="posix" if roomy else "mmap")


def _append(log_file: Path) -> IO[bytes]:
    """Opened by this process and inherited, so the server's account needs no right to the log folder."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    if log_file.exists() and log_file.stat().st_size > LOG_MAX_BYTES:
        log_file.replace(log_file.with_name(f"{log_file.name}.1"))
    return log_file.open("ab")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _write(path: Path, text: str, account: Account) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text)
    beside.chmod(0o600)
    _give(beside, account)
    beside.replace(path)


def _give(path: Path, account: Account) -> None:
    if not account.is_me:
        os.chown(path, account.uid, account.gid)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no reason given"
