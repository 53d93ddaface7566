"""What the accounts may and may not do."""

import psycopg2
import pytest

from etl.postgres import Database
from etl.postgres.database import session


@pytest.fixture
def published(fresh_database: Database) -> Database:
    """A release as publish makes it: a table in cdm_r1, a view of it in cdm, and state in etl."""
    with session(fresh_database.etl_url) as cursor:
        cursor.execute("CREATE SCHEMA cdm_r1")
        cursor.execute("CREATE TABLE cdm_r1.person AS SELECT 1 AS person_id")
        cursor.execute("CREATE VIEW cdm.person AS SELECT * FROM cdm_r1.person")
        cursor.execute("CREATE TABLE results.counts AS SELECT 1 AS n")
        cursor.execute("CREATE TABLE etl.person AS SELECT 1 AS person_id, 'key' AS person_key")
    return fresh_database


def test_the_reader_reads_the_cdm_and_results_without_any_grant_by_hand(published: Database) -> None:
    with session(published.reader_url) as cursor:
        cursor.execute("SELECT (SELECT count(*) FROM cdm.person), (SELECT count(*) FROM results.counts)")
        assert cursor.fetchone() == (1, 1)


def test_the_reader_finds_cdm_tables_by_their_bare_name(published: Database) -> None:
    with session(published.reader_url) as cursor:
        cursor.execute("SELECT count(*) FROM person")
        assert cursor.fetchone() == (1,)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM etl.person",
        "SELECT * FROM cdm_r1.person",
        "INSERT INTO cdm.person VALUES (2)",
        "DELETE FROM results.counts",
        "CREATE TABLE cdm.mine (a int)",
        "CREATE TABLE public.mine (a int)",
        "CREATE TEMPORARY TABLE mine (a int)",
        "CREATE SCHEMA mine",
        "DROP VIEW cdm.person",
        "SET ROLE cdmflow_etl",
        "SELECT pg_read_file('/etc/hostname')",
        "COPY cdm.person TO PROGRAM 'cat'",
    ],
)
def test_the_reader_may_not(published: Database, statement: str) -> None:
    with session(published.reader_url) as cursor:
        cursor.execute("SET default_transaction_read_only = off")  # a convenience, not the lock: rights are
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(statement)


def test_the_reader_begins_read_only(published: Database) -> None:
    with session(published.reader_url) as cursor, pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        cursor.execute("CREATE TABLE cdm.mine (a int)")


def test_the_etl_account_is_no_superuser_and_makes_no_roles(database: Database) -> None:
    with session(database.etl_url) as cursor:
        cursor.execute("SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == (False, False, False)


def test_the_reader_cannot_run_functions_of_the_etl_account(published: Database) -> None:
    with session(published.etl_url) as cursor:
        cursor.execute("CREATE FUNCTION cdm.leak() RETURNS int SECURITY DEFINER LANGUAGE sql AS 'SELECT 1'")
    with session(published.reader_url) as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cursor.execute("SELECT cdm.leak()")
