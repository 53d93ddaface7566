"""Processes that are started, found again and ended exactly; real ones, of a second or two."""

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from etl.services import ports, processes
from etl.services.processes import Service

pytestmark = pytest.mark.faults
SLEEP = "import time; time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
)
PARENT = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {SLEEP!r}]).pid, flush=True); {SLEEP}"


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Service]]:
    services: list[Service] = []
    yield services
    processes.stop(tmp_path, services, tmp_path, patience_s=0)


def start(started: list[Service], folder: Path, code: str, name: str = "one") -> Service:
    environment = {"PATH": os.environ["PATH"], "CDMFLOW_HOME": str(folder)}
    service = processes.start(name, [sys.executable, "-c", code], folder, folder / f"{name}.log", environment)
    started.append(service)
    return service


def said(service: Service) -> str:
    deadline = time.monotonic() + 20
    while not (text := service.log_file.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return text


def test_a_started_service_is_found_by_another_process_through_its_record(
    started: list[Service], tmp_path: Path
) -> None:
    service = start(started, tmp_path, SLEEP)
    assert processes.recorded(tmp_path, "one") == service
    assert processes.is_running(service)
    assert processes.recorded(tmp_path, "two") is None


def test_stopping_ends_the_service_with_its_children(started: list[Service], tmp_path: Path) -> None:
    service = start(started, tmp_path, PARENT)
    child = int(said(service))
    assert processes.stop(tmp_path, [service], tmp_path, patience_s=5) == 2
    assert not processes.is_running(service)
    assert not psutil.pid_exists(child)
    assert processes.recorded(tmp_path, "one") is None


def test_a_service_that_ignores_sigterm_is_killed(started: list[Service], tmp_path: Path) -> None:
    service = start(started, tmp_path, STUBBORN)
    said(service)
    processes.stop(tmp_path, [service], tmp_path, patience_s=0.2)
    assert not processes.is_running(service)


def test_a_killed_services_orphans_are_found_by_their_session(started: list[Service], tmp_path: Path) -> None:
    service = start(started, tmp_path, PARENT)
    child = int(said(service))
    psutil.Process(service.pid).kill()
    processes.stop(tmp_path, [service], tmp_path, patience_s=5)
    assert not psutil.pid_exists(child)


def test_a_pid_that_belongs_to_somebody_else_by_now_is_never_touched(started: list[Service], tmp_path: Path) -> None:
    stranger = start(started, tmp_path, SLEEP)
    record = tmp_path / "one.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"started": stranger.started - 1000}))
    old = processes.recorded(tmp_path, "one")
    assert old is not None
    assert not processes.is_running(old)
    elsewhere = tmp_path / "another home"
    assert processes.stop(tmp_path, [replace(old)], elsewhere, patience_s=0.1) == 0
    assert processes.is_running(stranger)


def test_a_broken_record_is_no_service(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text("{")
    assert processes.recorded(tmp_path, "one") is None


def test_the_last_words_of_a_log_are_its_last_lines(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("\n".join(f"line {number}" for number in range(10)) + "\n\n")
    assert processes.last_lines(tmp_path / "log", 2) == "line 8\nline 9"
    assert processes.last_lines(tmp_path / "none") == ""


def test_a_port_is_kept_until_somebody_else_takes_it(tmp_path: Path) -> None:
    import socket

    port = ports.choose(tmp_path / "port.json")
    assert ports.choose(tmp_path / "port.json") == port == ports.remembered(tmp_path / "port.json")
    with socket.socket() as taken:
        taken.bind((ports.LOOPBACK, port))
        taken.listen()
        assert ports.choose(tmp_path / "port.json") != port
