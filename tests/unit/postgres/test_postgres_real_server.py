"""CDMFLOW_DATABASE_URL: a second server stands for the hospital's real one, which knows nothing of cdmflow."""

import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest
from homes import make_home
from sqlalchemy.engine import make_url

from etl.config import Settings
from etl.errors import CdmflowError, DatabaseUnavailable, UsageError
from etl.postgres import cluster, ensure_airflow_database, ensure_server, server_status, stop_server
from etl.postgres.database import embedded_url, parse_url, session
from etl.postgres.place import find_place

NewHome = Callable[[], Settings]
SECRET = "s3cret/with:signs@"


@pytest.fixture(scope="module")
def hospital_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The superuser's URL of a bare server: no account, database or schema of ours in it."""
    folder = make_home()
    server_folder = folder / "server"
    server_folder.mkdir(mode=0o711)
    place = find_place(server_folder)
    cluster.create(place, SECRET)
    try:
        port = cluster.start(place, None, folder / "postgres.log")
        yield embedded_url(port, cluster.SUPERUSER, SECRET, "postgres")
    finally:
        cluster.stop(place)
        shutil.rmtree(folder)


@pytest.fixture
def hospital(hospital_server: str) -> Iterator[str]:
    """The superuser's URL of an empty database `cdm`; accounts that a test made are dropped after it."""
    with session(hospital_server) as cursor:
        cursor.execute("CREATE DATABASE cdm")
    try:
        yield text(hospital_server, database="cdm")
    finally:
        with session(hospital_server) as cursor:
            cursor.execute("DROP DATABASE cdm WITH (FORCE)")
            cursor.execute("DROP DATABASE IF EXISTS airflow WITH (FORCE)")
            cursor.execute("DROP ROLE IF EXISTS cdmflow_etl, cdm_reader, airflow, loader, manager")


def text(url: str, **changes: str | int) -> str:
    return make_url(url).set(**changes).render_as_string(hide_password=False)  # type: ignore[arg-type]


def using(new_home: NewHome, url: str) -> Settings:
    return replace(new_home(), database_url=url)


def account(hospital: str, statement: str, name: str) -> str:
    with session(hospital) as cursor:
        cursor.execute(f"{statement} LOGIN PASSWORD 'pw'")
        cursor.execute(f"GRANT CONNECT, CREATE ON DATABASE cdm TO {name}")
    return text(hospital, username=name, password="pw")


def identity(url: str) -> tuple[str, str]:
    with session(url) as cursor:
        cursor.execute("SELECT current_user, current_database()")
        user, database = cursor.fetchone()
    return str(user), str(database)


def test_an_administrators_url_makes_both_accounts_and_hands_over_to_them(hospital: str, new_home: NewHome) -> None:
    settings = using(new_home, hospital)
    database = ensure_server(settings)
    assert identity(database.etl_url) == ("cdmflow_etl", "cdm")
    assert identity(database.reader_url) == ("cdm_reader", "cdm")
    assert (database.port, database.dbname) == (make_url(hospital).port, "cdm")
    assert ensure_server(settings) == database
    assert server_status(settings).running
    assert not server_status(settings).embedded
    assert not (settings.postgres_dir / "data").exists()


def test_the_reader_of_a_real_server_reads_the_cdm_and_nothing_else(hospital: str, new_home: NewHome) -> None:
    database = ensure_server(using(new_home, hospital))
    with session(database.etl_url) as cursor:
        cursor.execute("CREATE TABLE cdm.person AS SELECT 1 AS person_id")
        cursor.execute("CREATE TABLE etl.secret AS SELECT 1 AS a")
    with session(database.reader_url) as cursor:
        cursor.execute("SELECT * FROM person")
        assert cursor.fetchall() == [(1,)]
        for statement in ("SELECT * FROM etl.secret", "DELETE FROM cdm.person"):
            with pytest.raises(psycopg2.errors.Error):
                cursor.execute(statement)


def test_stop_leaves_a_real_server_alone(hospital: str, new_home: NewHome) -> None:
    settings = using(new_home, hospital)
    ensure_server(settings)
    assert not stop_server(settings)
    assert server_status(settings).running


def test_the_three_spellings_of_a_url_are_the_same_server(hospital: str, new_home: NewHome) -> None:
    settings = new_home()
    _, _, rest = hospital.partition("://")
    ports = {
        ensure_server(replace(settings, database_url=f"{scheme}://{rest}")).port
        for scheme in ("postgres", "postgresql", "postgresql+psycopg2")
    }
    assert len(ports) == 1


def test_a_role_manager_without_superuser_rights_will_do(hospital: str, new_home: NewHome) -> None:
    manager = account(hospital, "CREATE ROLE manager CREATEROLE", "manager")
    with session(hospital) as cursor:
        cursor.execute("ALTER DATABASE cdm OWNER TO manager")
    database = ensure_server(using(new_home, manager))
    assert identity(database.etl_url)[0] == "cdmflow_etl"
    assert identity(database.reader_url)[0] == "cdm_reader"


def test_a_plain_account_is_told_the_exact_sql_and_works_once_it_was_run(hospital: str, new_home: NewHome) -> None:
    loader = account(hospital, "CREATE ROLE loader", "loader")
    settings = using(new_home, loader)
    with pytest.raises(CdmflowError) as caught:
        ensure_server(settings)
    assert 'CREATE ROLE "cdm_reader" LOGIN;' in caught.value.todo
    script = settings.postgres_dir / "for-the-administrator.sql"
    assert script.stat().st_mode & 0o077 == 0
    assert str(script) in caught.value.todo
    with session(hospital) as cursor:
        cursor.execute(script.read_text())
    database = ensure_server(settings)
    assert identity(database.etl_url)[0] == "loader"
    with session(database.etl_url) as cursor:
        cursor.execute("CREATE TABLE cdm.person AS SELECT 1 AS person_id")
    with session(database.reader_url) as cursor:
        cursor.execute("SELECT * FROM person")
        assert cursor.fetchall() == [(1,)]


def test_airflows_database_is_made_where_the_url_may(hospital: str, new_home: NewHome) -> None:
    settings = using(new_home, hospital)
    url = ensure_airflow_database(settings, ensure_server(settings))
    assert identity(url) == ("airflow", "airflow")
    assert ensure_airflow_database(settings, ensure_server(settings)) == url


def test_airflows_database_is_asked_of_the_administrator_where_the_url_may_not(
    hospital: str, new_home: NewHome
) -> None:
    loader = account(hospital, "CREATE ROLE loader", "loader")
    settings = using(new_home, loader)
    with pytest.raises(CdmflowError):
        ensure_server(settings)
    with session(hospital) as cursor:
        cursor.execute((settings.postgres_dir / "for-the-administrator.sql").read_text())
    with pytest.raises(CdmflowError, match="may not create Airflow's database") as caught:
        ensure_airflow_database(settings, ensure_server(settings))
    assert "CREATE DATABASE airflow OWNER airflow;" in caught.value.todo


def test_a_wrong_password_is_reported_without_it(hospital: str, new_home: NewHome) -> None:
    settings = using(new_home, text(hospital, password="Zebulon"))
    with pytest.raises(DatabaseUnavailable, match="password authentication failed") as caught:
        ensure_server(settings)
    assert f"127.0.0.1:{make_url(hospital).port}" in caught.value.what
    assert "Zebulon" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_an_unreachable_server_is_named_by_host_and_port(new_home: NewHome) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        settings = using(new_home, f"postgresql://someone:Zebulon@127.0.0.1:{port}/cdm")
        with pytest.raises(DatabaseUnavailable, match=f"127.0.0.1:{port}") as caught:
            ensure_server(settings)
    assert "Zebulon" not in str(caught.value)
    assert not server_status(settings).running


@pytest.mark.parametrize(
    "url",
    [
        "mysql://someone:Zebulon@localhost/cdm",
        "someone:Zebulon@localhost/cdm",
        "postgresql://someone:Zebulon@localhost",
        "postgresql://localhost/cdm?password=Zebulon",
        "postgresql://someone:Zebulon@localhost:port/cdm",
        "postgresql://",
    ],
)
def test_a_malformed_url_is_a_usage_error_without_its_password(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_url(url)
    assert "Zebulon" not in str(caught.value)
    assert "postgresql://USER:PASSWORD@HOST" in caught.value.todo


def test_options_of_the_url_reach_the_connection(hospital: str, new_home: NewHome) -> None:
    database = ensure_server(using(new_home, hospital + "?sslmode=disable&application_name=nightly"))
    with session(database.reader_url) as cursor:
        cursor.execute("SHOW application_name")
        assert cursor.fetchone() == ("nightly",)


def test_the_url_of_the_administrator_never_reaches_a_file(hospital: str, new_home: NewHome) -> None:
    settings = using(new_home, hospital)
    ensure_server(settings)
    written = [path for path in Path(settings.home).rglob("*") if path.is_file() and SECRET in path.read_text()]
    assert written == []
