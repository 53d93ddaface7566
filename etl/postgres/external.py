"""A real server behind CDMFLOW_DATABASE_URL.

An account that may create roles makes cdmflow_etl and cdm_reader and hands over to them; any other account becomes the
ETL account itself, and the administrator creates cdm_reader with the SQL that the error message gives.
"""

from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql
from sqlalchemy.engine import URL

from etl.errors import CdmflowError, DatabaseUnavailable
from etl.log import get_logger
from etl.postgres import passwords, roles
from etl.postgres.database import Database, session, to_text

log = get_logger(__name__)

ADMINISTRATOR_FILE = "for-the-administrator.sql"


def answers(url: URL) -> bool:
    try:
        with session(to_text(url), connect_timeout_s=3):
            return True
    except DatabaseUnavailable:
        return False


def ensure_database(url: URL, folder: Path) -> Database:
    """Accounts and schemas in the database that the URL names; nothing else in it is touched."""
    server = f"{url.host}:{url.port or 5432}"
    database = _known_database(url, folder, server)
    if database and _is_ready(database):
        return database
    with session(to_text(url)) as cursor:
        if _may_create_roles(cursor):
            database = _prepare_as_administrator(cursor, url, folder, server)
        else:
            database = _prepare_as_plain_account(cursor, url, folder, server)
    reader = {roles.READER: passwords.stored(folder, server)[roles.READER]}
    passwords.write_pgpass(folder, url.host or "", url.port or 5432, reader)
    return database


def _known_database(url: URL, folder: Path, server: str) -> Database | None:
    known = passwords.stored(folder, server)
    if roles.READER not in known:
        return None
    return _database(url, known, folder)


def _database(url: URL, known: dict[str, str], folder: Path) -> Database:
    etl = url.set(username=roles.ETL, password=known[roles.ETL]) if roles.ETL in known else url
    reader = url.set(username=roles.READER, password=known[roles.READER])
    return Database(to_text(url), to_text(etl), to_text(reader), folder / passwords.PGPASS_NAME)


def _is_ready(database: Database) -> bool:
    """Both accounts get in and the schemas are there."""
    try:
        with session(database.reader_url), session(database.etl_url) as cursor:
            return not roles.missing_schemas(cursor)
    except DatabaseUnavailable:
        return False


def _may_create_roles(cursor: Any) -> bool:
    cursor.execute("SELECT rolsuper OR rolcreaterole FROM pg_catalog.pg_roles WHERE rolname = current_user")
    return bool(cursor.fetchone()[0])


def _prepare_as_administrator(cursor: Any, url: URL, folder: Path, server: str) -> Database:
    wanted = (roles.READER,) if url.username == roles.ETL else (roles.ETL, roles.READER)
    known = passwords.ensure(folder, server, wanted)
    database = _database(url, known, folder)
    settings = {roles.ETL: roles.ETL_SETTINGS, roles.READER: roles.READER_SETTINGS}
    try:
        for role in wanted:
            roles.ensure_login(cursor, role, known[role], settings[role])
        name = sql.Identifier(url.database or "")
        grant = sql.SQL("GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {} TO {}")
        if roles.ETL in wanted:
            cursor.execute(grant.format(name, sql.Identifier(roles.ETL)))
        cursor.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, sql.Identifier(roles.READER)))
        _create_schemas(database)
    except psycopg2.errors.InsufficientPrivilege:
        raise _needs_administrator(url, folder, known) from None
    return database


def _prepare_as_plain_account(cursor: Any, url: URL, folder: Path, server: str) -> Database:
    known = passwords.ensure(folder, server, (roles.READER,))
    database = _database(url, known, folder)
    cursor.execute("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = %s", (roles.READER,))
    if cursor.fetchone() is None or not answers_as_reader(database):
        raise _needs_administrator(url, folder, known)
    try:
        _create_schemas(database)
    except psycopg2.errors.InsufficientPrivilege:
        raise _needs_administrator(url, folder, known) from None
    return database


def answers_as_reader(database: Database) -> bool:
    try:
        with session(database.reader_url):
            return True
    except DatabaseUnavailable:
        return False


def _create_schemas(database: Database) -> None:
    with session(database.etl_url) as cursor:
        roles.ensure_schemas(cursor)


def _needs_administrator(url: URL, folder: Path, known: dict[str, str]) -> CdmflowError:
    """Writes the exact SQL, passwords included, to a private file; the message shows it without them."""
    path = folder / ADMINISTRATOR_FILE
    passwords.write_private(path, _administrator_sql(url, known[roles.READER]))
    shown = _administrator_sql(url, "…").strip().replace("\n", "\n    ")
    return CdmflowError(
        f"The account {url.username} may not prepare the database {url.database} at {url.host}:{url.port or 5432}.",
        state="Nothing was changed.",
        todo=f"Let the administrator run {path} (it holds the reader's password), which is:\n    {shown}",
    )


def _administrator_sql(url: URL, reader_password: str) -> str:
    names = {
        "reader": _quoted(roles.READER),
        "etl": _quoted(url.username or ""),
        "database": _quoted(url.database or ""),
        "password": reader_password.replace("'", "''"),
    }
    statements = [
        "CREATE ROLE {reader} LOGIN;",
        "ALTER ROLE {reader} PASSWORD '{password}';",
        *(f"ALTER ROLE {{reader}} SET {name} = {_setting(value)};" for name, value in roles.READER_SETTINGS.items()),
        "GRANT CONNECT ON DATABASE {database} TO {reader};",
        "GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {database} TO {etl};",
    ]
    return "".join(statement.format(**names) + "\n" for statement in statements)


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _setting(value: str) -> str:
    return ", ".join(f"'{word.strip()}'" for word in value.split(","))
