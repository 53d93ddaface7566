"""Long-running processes of a home: started in sessions of their own, found again, and ended exactly.

A record (`<name>.json`) holds pid and start time, so a pid that the system gave to somebody else is never touched.
Members of a service's session that outlived it (a killed scheduler's tasks) are found by session and by their home.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from etl.errors import CdmflowError

LOG_MAX_BYTES = 20 << 20
KILL_TIMEOUT_S = 5
HOME_VARIABLE = "CDMFLOW_HOME"


@dataclass(frozen=True)
class Service:
    """One process that we started. `started` is the system's start time in seconds since 1970."""

    name: str
    pid: int
    started: float
    log_file: Path


def start(
    name: str, command: Sequence[str | Path], folder: Path, log_file: Path, environment: Mapping[str, str]
) -> Service:
    """Starts a process in a session of its own, its output appended to `log_file`, and records it in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    log_file.parent.mkdir(parents=True, exist_ok=True)
    if log_file.exists() and log_file.stat().st_size > LOG_MAX_BYTES:
        log_file.replace(log_file.with_suffix(".log.1"))
    with log_file.open("ab") as output:
        child = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
            umask=0o077,
        )
    service = Service(name, child.pid, psutil.Process(child.pid).create_time(), log_file)
    record = _record(folder, name)
    beside = record.with_suffix(".new")
    beside.write_text(json.dumps({"pid": service.pid, "started": service.started, "log_file": str(log_file)}) + "\n")
    beside.replace(record)
    return service


def recorded(folder: Path, name: str) -> Service | None:
    """The service as it was last started, running or not."""
    try:
        entry = json.loads(_record(folder, name).read_text())
        return Service(name, int(entry["pid"]), float(entry["started"]), Path(entry["log_file"]))
    except (FileNotFoundError, ValueError, KeyError):
        return None


def is_running(service: Service) -> bool:
    process = _process(service)
    return process is not None and process.status() != psutil.STATUS_ZOMBIE


def stop(folder: Path, services: Iterable[Service], home: Path, *, patience_s: float) -> int:
    """Ends the services with all their children: SIGTERM, then SIGKILL after `patience_s` seconds; how many ended.

    The services get SIGTERM and end their children themselves; what is left of their sessions is killed.
    """
    services = list(services)
    members = _unique(process for service in services for process in _members(service, home))
    leaders = [process for service in services if (process := _process(service)) is not None]
    for leader in leaders:
        _send(leader, signal.SIGTERM)
    psutil.wait_procs(leaders, timeout=patience_s)
    members = _unique([*members, *(process for service in services for process in _members(service, home))])
    left = [process for process in members if process.is_running()]
    for process in left:
        _send(process, signal.SIGKILL)
    _, alive = psutil.wait_procs(left, timeout=KILL_TIMEOUT_S)
    alive = [process for process in alive if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    if alive:
        raise CdmflowError(f"Processes {', '.join(str(process.pid) for process in alive)} do not end, even by SIGKILL.")
    for service in services:
        _record(folder, service.name).unlink(missing_ok=True)
    return len(members)


def last_lines(log_file: Path, count: int = 5) -> str:
    """The end of a service's log, for an error message; services log no patient values."""
    if not log_file.exists():
        return ""
    with log_file.open("rb") as file:
        file.seek(max(0, log_file.stat().st_size - 8192))
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join([line for line in lines if line.strip()][-count:])


def _record(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


def _process(service: Service) -> psutil.Process | None:
    try:
        process = psutil.Process(service.pid)
        same = bool(abs(process.create_time() - service.started) < 1)
    except psutil.NoSuchProcess:
        return None
    return process if same else None


def _members(service: Service, home: Path) -> list[psutil.Process]:
    """The service's process, its descendants, and whatever else of its session belongs to this home."""
    leader = _process(service)
    found: list[psutil.Process] = []
    if leader is not None:
        try:
            found = [leader, *leader.children(recursive=True)]
        except psutil.NoSuchProcess:
            leader = None
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and os.getsid(process.pid) == service.pid and _is_of(process, home):
                found.append(process)
        except (ProcessLookupError, PermissionError, psutil.Error):
            continue
    return found


def _is_of(process: psutil.Process, home: Path) -> bool:
    return bool(process.environ().get(HOME_VARIABLE) == str(home))


def _unique(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    return list(dict.fromkeys(processes))  # psutil's equality is pid and start time


def _send(process: psutil.Process, number: signal.Signals) -> None:
    """psutil refuses by itself when the pid has changed hands."""
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
