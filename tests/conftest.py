"""Fixtures of all tests: the project's folders, a home, a real PostgreSQL.

Homes are made below the system's temporary folder with mode 0711, not below pytest's own (0700): as root, the database
runs as a system user who must be able to enter. Whatever a test starts is stopped and erased, also when it fails.
"""

import os
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from homes import make_home, remove_home, settings_of
from tiny_hospital import Hospital, new_hospital

from etl.config import Settings
from etl.postgres import Database, ensure_server
from etl.postgres.roles import create_database, drop_database

PROJECT = Path(__file__).resolve().parent.parent
EXIT_STATUS = pytest.StashKey[int]()
ENVIRONMENT = ("CDMFLOW_HOME", "CDMFLOW_DATABASE_URL", "CDMFLOW_WORKERS", "CDMFLOW_MEMORY_LIMIT")


@pytest.fixture(scope="session")
def project() -> Path:
    return PROJECT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Third-party test data, beside the project and never part of it."""
    folder = PROJECT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the third-party data are not here: ../shared/data is missing")
    return folder


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty CDMFLOW_HOME, set in the environment; a server started in it is stopped at the end."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    folder = make_home()
    monkeypatch.setenv("CDMFLOW_HOME", str(folder))
    try:
        yield folder
    finally:
        remove_home(folder)


@pytest.fixture
def new_home() -> Iterator[Callable[[], Settings]]:
    """Makes further homes, each with settings of its own and without an environment."""
    made: list[Settings] = []

    def make() -> Settings:
        made.append(settings_of(make_home()))
        return made[-1]

    try:
        yield make
    finally:
        for settings in made:
            remove_home(settings.home)


@pytest.fixture(scope="session")
def database_home() -> Iterator[Path]:
    """The home of the test session's one embedded server."""
    folder = make_home()
    try:
        yield folder
    finally:
        remove_home(folder)


@pytest.fixture(scope="session")
def database(database_home: Path) -> Database:
    """The session's embedded PostgreSQL with its roles and schemas, shared: leave it as it was found."""
    return ensure_server(settings_of(database_home))


@pytest.fixture
def fresh_database(database: Database) -> Iterator[Database]:
    """A database of the test's own inside the session's server, with the schemas etl, cdm and results."""
    own = create_database(database, f"test_{uuid.uuid4().hex[:12]}")
    try:
        yield own
    finally:
        drop_database(own)


@pytest.fixture(scope="module")
def hospital() -> Iterator[Hospital]:
    """A home with its own embedded PostgreSQL for the whole runs of a module."""
    with new_hospital() as running:
        yield running


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hospital]:
    """A home for one test whose nights are of some persons: of three, one would be more than the share for that."""
    monkeypatch.setattr("etl.pipeline.scope.LARGEST_SHARE", 1.0)
    with new_hospital() as running:
        yield running


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="properties and faults in their full size")


def pytest_configure(config: pytest.Config) -> None:
    hypothesis.settings.register_profile("suite", max_examples=120)
    hypothesis.settings.register_profile("long", max_examples=2_400)
    hypothesis.settings.load_profile("long" if config.getoption("--long") else "suite")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[EXIT_STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End without Python's clean-up: DuckDB 2.0's binding would bury the closing line under its own leak reports."""
    status = config.stash.get(EXIT_STATUS, None)
    if status is not None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
