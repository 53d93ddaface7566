"""Airflow's metadata lie in a database of their own, in the same server, behind an account of their own."""

from pathlib import Path

import psycopg2
from sqlalchemy.engine import make_url

from etl.config import Settings
from etl.errors import CdmflowError, DatabaseUnavailable
from etl.postgres import passwords, roles
from etl.postgres.database import Database, session, to_text


def ensure_airflow_database(settings: Settings, database: Database) -> str:
    """URL (`postgresql+psycopg2://…`, with password) of the database `airflow`, created where it is missing.

    Errors: CdmflowError with the SQL for the administrator where CDMFLOW_DATABASE_URL's account may not create it.
    """
    server = f"{database.host}:{database.port}" if settings.database_url else "embedded"
    known = passwords.ensure(settings.postgres_dir, server, (roles.AIRFLOW,))
    etl_url = make_url(database.etl_url)
    url = to_text(etl_url.set(username=roles.AIRFLOW, password=known[roles.AIRFLOW], database=roles.AIRFLOW))
    if _answers(url):
        return url
    try:
        with session(database.admin_url) as cursor:
            roles.ensure_login(cursor, roles.AIRFLOW, known[roles.AIRFLOW])
            if settings.database_url:  # an account that creates roles without being superuser must be a member first
                cursor.execute("GRANT airflow TO CURRENT_USER")
            roles.ensure_database(cursor, roles.AIRFLOW, roles.AIRFLOW)
    except psycopg2.errors.InsufficientPrivilege:
        raise _needs_administrator(settings.postgres_dir, known[roles.AIRFLOW], database) from None
    return url


def _answers(url: str) -> bool:
    try:
        with session(url):
            return True
    except DatabaseUnavailable:
        return False


def _needs_administrator(folder: Path, password: str, database: Database) -> CdmflowError:
    path = folder / "airflow-for-the-administrator.sql"
    statements = ["CREATE ROLE airflow LOGIN PASSWORD '{}';", "CREATE DATABASE airflow OWNER airflow;"]
    passwords.write_private(path, "\n".join(statements).format(password) + "\n")
    shown = "\n    ".join(statements).format("…")
    return CdmflowError(
        f"The account of CDMFLOW_DATABASE_URL may not create Airflow's database at {database.host}:{database.port}.",
        state="Airflow was not started.",
        todo=f"Let the administrator run {path} (it holds the password), which is:\n    {shown}",
    )
