"""Airflow of one home: migrate, start, watch, stop. Three processes, nothing on other than loopback."""

import contextlib
import fcntl
import importlib.metadata
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import make_url

from etl.config import Settings
from etl.errors import CdmflowError
from etl.log import get_logger
from etl.postgres import Database, ensure_airflow_database
from etl.services import airflow_api, airflow_home, processes

log = get_logger(__name__)

Progress = Callable[[str], None]
# --skip-serve-logs: the api-server reads the log files itself; a log server would listen on all interfaces
COMMANDS = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
}
COMPONENTS = ("metadatabase", "scheduler", "dag_processor")
HEALTHY_TIMEOUT_S = 120
MIGRATE_TIMEOUT_S = 600
PATIENCE_S = 15  # the scheduler waits for its running tasks that long; publish is one transaction, killing it is safe
INTERVAL_S = 0.25


@dataclass(frozen=True)
class AirflowStatus:
    """`services` maps a process's name to its pid, or None when it does not run; `health` is the api-server's view."""

    running: bool
    url: str | None
    user: str
    password_file: Path
    services: dict[str, int | None]
    health: dict[str, str]
    logs: Path

    @property
    def healthy(self) -> bool:
        return self.running and all(self.health.get(name) == "healthy" for name in COMPONENTS)


def start(
    settings: Settings, database: Database, *, dags_folder: Path | None = None, progress: Progress | None = None
) -> AirflowStatus:
    """Starts what does not run, waits until all is healthy (about 20 s); leaves a healthy Airflow alone.

    Errors: CdmflowError with the last lines and the path of the log of what failed.
    """
    say = progress or log.info
    settings.airflow_home.mkdir(parents=True, exist_ok=True)
    with _locked(settings.airflow_home):
        now = status(settings)
        if now.running:
            return wait_healthy(settings, progress=say)
        _stop(settings)
        url = ensure_airflow_database(settings, database)
        airflow_home.prepare(settings, url, dags_folder or settings.project / "dags")
        _migrate(settings, url, say)
        say("starting Airflow")
        for name, command in COMMANDS.items():
            processes.start(
                name,
                (*_airflow(), *command),
                _run_folder(settings),
                _log_file(settings, name),
                airflow_home.environment(settings),
            )
        try:
            return wait_healthy(settings, progress=say)
        except CdmflowError:
            _stop(settings)
            raise


def stop(settings: Settings) -> bool:
    """Ends this home's Airflow with all tasks; False when nothing ran."""
    if not settings.airflow_home.exists():
        return False
    with _locked(settings.airflow_home):
        return _stop(settings)


def status(settings: Settings) -> AirflowStatus:
    """What runs; starts nothing and changes nothing."""
    services: dict[str, int | None] = {}
    for name in COMMANDS:
        service = processes.recorded(_run_folder(settings), name)
        services[name] = service.pid if service and processes.is_running(service) else None
    running = all(services.values())
    return AirflowStatus(
        running=running,
        url=airflow_api.base_url(settings),
        user=airflow_home.USER,
        password_file=settings.airflow_home / airflow_home.PASSWORDS_NAME,
        services=services,
        health=airflow_api.health(settings) if services["api-server"] else {},
        logs=settings.airflow_home / "logs",
    )


def wait_healthy(
    settings: Settings, *, timeout_s: float = HEALTHY_TIMEOUT_S, progress: Progress | None = None
) -> AirflowStatus:
    """Waits until database, scheduler and dag-processor report themselves healthy; says what is still missing."""
    say = progress or log.info
    deadline = time.monotonic() + timeout_s
    said = ""
    while True:
        check_alive(settings)
        now = status(settings)
        if now.healthy:
            return now
        missing = [name for name in COMPONENTS if now.health.get(name) != "healthy"]
        if now.health and said != (said := ", ".join(missing)):
            say(f"waiting for {said}")
        if not airflow_api.wait_until(deadline, INTERVAL_S):
            raise CdmflowError(
                f"Airflow is not healthy after {timeout_s:.0f} s; missing: {', '.join(missing)}.",
                todo=f"Its logs: {now.logs}",
            )


def check_alive(settings: Settings) -> None:
    """Raises with the log of a process that ended by itself."""
    for name in COMMANDS:
        service = processes.recorded(_run_folder(settings), name)
        if service is None or not processes.is_running(service):
            log_file = _log_file(settings, name)
            raise CdmflowError(
                f"Airflow's {name} is not running. Its last words:\n{processes.last_lines(log_file)}",
                todo=f"The whole log: {log_file}",
            )


def _migrate(settings: Settings, url: str, say: Progress) -> None:
    """`airflow db migrate`, once per Airflow version and database."""
    place = make_url(url)
    stamp = {
        "airflow": importlib.metadata.version("apache-airflow-core"),
        "database": f"{place.host}:{place.port}/{place.database}",
    }
    file = settings.airflow_home / "migrated.json"
    if file.exists() and json.loads(file.read_text()) == stamp:
        return
    say("preparing Airflow's database")
    log_file = _log_file(settings, "migrate")
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("ab") as output:
        done = subprocess.run(
            [*_airflow(), "db", "migrate"],
            env=airflow_home.environment(settings),
            cwd=settings.airflow_home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=MIGRATE_TIMEOUT_S,
            check=False,
        )
    if done.returncode != 0:
        raise CdmflowError(
            f"`airflow db migrate` ended with {done.returncode}. Its last words:\n{processes.last_lines(log_file)}",
            state="Airflow was not started.",
            todo=f"The whole log: {log_file}",
        )
    file.write_text(json.dumps(stamp) + "\n")


def _stop(settings: Settings) -> bool:
    folder = _run_folder(settings)
    known = [service for name in COMMANDS if (service := processes.recorded(folder, name))]
    return processes.stop(folder, known, settings.home, patience_s=PATIENCE_S) > 0


def _airflow() -> tuple[str, ...]:
    return (sys.executable, "-m", "airflow")


def _run_folder(settings: Settings) -> Path:
    return settings.airflow_home / "processes"


def _log_file(settings: Settings, name: str) -> Path:
    return settings.airflow_home / "logs" / f"{name}.log"


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time starts or stops this home's Airflow; the lock dies with its holder."""
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
