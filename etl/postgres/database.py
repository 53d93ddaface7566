"""URLs of one database and how to connect to it, with errors that never hold a password."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from etl.errors import DatabaseUnavailable, UsageError

DRIVER = "postgresql+psycopg2"
ACCEPTED_SCHEMES = ("postgresql", "postgres", DRIVER)
CONNECT_TIMEOUT_S = 10


@dataclass(frozen=True, repr=False)
class Database:
    """One database and its three accounts; all URLs are `postgresql+psycopg2://…` and hold passwords.

    `admin_url` is the embedded server's superuser, or the account of CDMFLOW_DATABASE_URL as it was given.
    `password_file` is in libpq's pgpass layout (mode 0600) and lets a person's psql connect as the reader.
    """

    admin_url: str = field(repr=False)
    etl_url: str = field(repr=False)
    reader_url: str = field(repr=False)
    password_file: Path | None = None

    @property
    def host(self) -> str:
        return make_url(self.etl_url).host or "127.0.0.1"

    @property
    def port(self) -> int:
        return make_url(self.etl_url).port or 5432

    @property
    def dbname(self) -> str:
        return make_url(self.etl_url).database or ""

    @property
    def psql(self) -> str:
        """A line for a terminal that opens psql as the reader; holds no password."""
        user = make_url(self.reader_url).username
        passfile = f"PGPASSFILE={self.password_file} " if self.password_file else ""
        return f"{passfile}psql -h {self.host} -p {self.port} -U {user} {self.dbname}"

    def named(self, dbname: str) -> "Database":
        """The same server and accounts, another database."""
        urls = [to_text(make_url(url).set(database=dbname)) for url in (self.admin_url, self.etl_url, self.reader_url)]
        return replace(self, admin_url=urls[0], etl_url=urls[1], reader_url=urls[2])

    def __repr__(self) -> str:
        return f"Database({self.host}:{self.port}/{self.dbname})"


def to_text(url: URL) -> str:
    """The URL with its password, as psycopg2 and SQLAlchemy need it; never for a message."""
    return url.render_as_string(hide_password=False)


def embedded_url(port: int, user: str, password: str, dbname: str) -> str:
    return to_text(URL.create(DRIVER, user, password, "127.0.0.1", port, dbname))


def parse_url(text: str) -> URL:
    """CDMFLOW_DATABASE_URL as a psycopg2 URL; UsageError (without the text: it holds a password) if it is none."""
    scheme, separator, rest = text.partition("://")
    problem = ""
    if not separator or scheme not in ACCEPTED_SCHEMES:
        problem = "must begin with postgresql:// (or postgres://, postgresql+psycopg2://)"
    else:
        try:
            url = make_url(f"{DRIVER}://{rest}")
        except (ArgumentError, ValueError):
            problem = "is not a URL"
        else:
            if url.host and url.username and url.database:
                return url
            problem = "must name a user, a host and a database"
    raise UsageError(
        f"CDMFLOW_DATABASE_URL {problem}.",
        todo="Write it as postgresql://USER:PASSWORD@HOST:PORT/DATABASE, special characters percent-encoded.",
    )


@contextmanager
def session(url: str, *, connect_timeout_s: int = CONNECT_TIMEOUT_S) -> Iterator[Any]:
    """A psycopg2 cursor in autocommit mode; DatabaseUnavailable with host:port when nothing answers."""
    connection = open_connection(url, connect_timeout_s=connect_timeout_s)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def open_connection(url: str, *, connect_timeout_s: int = CONNECT_TIMEOUT_S) -> Any:
    parsed = make_url(url)
    try:
        return psycopg2.connect(
            host=parsed.host,
            port=parsed.port or 5432,
            user=parsed.username,
            password=parsed.password or "",
            dbname=parsed.database,
            **{"connect_timeout": connect_timeout_s, "application_name": "cdmflow"} | dict(parsed.query),
        )
    except psycopg2.Error as error:
        # `from None`: the chained error's text is libpq's and may quote connection parameters
        raise unavailable(parsed, str(error)) from None


def unavailable(url: URL, reason: str) -> DatabaseUnavailable:
    """The error for a failed connection: host:port, database, user and the server's reason, without a password."""
    first_line = reason.strip().splitlines()[0] if reason.strip() else "no answer"
    if url.password:
        first_line = first_line.replace(str(url.password), "***")
    return DatabaseUnavailable(
        f"No connection to PostgreSQL at {url.host}:{url.port or 5432}, "
        f"database {url.database}, user {url.username}: {first_line}",
        state="Nothing was changed.",
        todo="Check that the server runs and that the user, password and database of the URL are right.",
    )
