"""Where things live. The only module that reads the environment."""

import os
from dataclasses import dataclass
from datetime import date
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR")


@dataclass(frozen=True)
class Settings:
    """All settings of one home.

    `database_url` is a real server's (`postgresql+psycopg2://…`) or None for the embedded one;
    `memory_limit` is DuckDB's ("3GB"), for all workers together; `kept_releases` stay in the database, the current one
    among them, to compare with and to go back to.
    """

    project: Path
    home: Path
    database_url: str | None
    workers: int
    memory_limit: str
    kept_releases: int = 7

    @property
    def lake(self) -> Path:
        return self.home / "lake"

    @property
    def landing_dir(self) -> Path:
        return self.lake / "landing"

    @property
    def rejects_dir(self) -> Path:
        return self.lake / "rejects"

    @property
    def vocabulary_dir(self) -> Path:
        return self.lake / "vocabulary"

    @property
    def runs_dir(self) -> Path:
        return self.lake / "runs"

    @property
    def releases_dir(self) -> Path:
        return self.home / "releases"

    @property
    def airflow_home(self) -> Path:
        return self.home / "airflow"

    @property
    def postgres_dir(self) -> Path:
        return self.home / "postgres"

    @property
    def logs_dir(self) -> Path:
        return self.home / "logs"

    @property
    def demo_dir(self) -> Path:
        return self.home / "demo"

    @property
    def sources_dir(self) -> Path:
        return self.project / "sources"

    @property
    def sql_dir(self) -> Path:
        return self.project / "sql"

    @property
    def expectations_dir(self) -> Path:
        return self.project / "expectations"


def settings() -> Settings:
    """The settings of this process, from CDMFLOW_HOME, _DATABASE_URL, _WORKERS, _MEMORY_LIMIT, _KEPT_RELEASES."""
    return Settings(
        project=PROJECT,
        home=Path(os.environ.get("CDMFLOW_HOME") or PROJECT / "var").resolve(),
        database_url=os.environ.get("CDMFLOW_DATABASE_URL") or None,
        workers=int(os.environ.get("CDMFLOW_WORKERS") or min(os.cpu_count() or 1, 4)),
        memory_limit=os.environ.get("CDMFLOW_MEMORY_LIMIT") or "2GB",
        kept_releases=max(1, int(os.environ.get("CDMFLOW_KEPT_RELEASES") or 7)),
    )


@dataclass(frozen=True)
class Alerts:
    """Whom to tell of a night that failed, was refused or is late. A mail server without a login."""

    webhook: str | None
    mail: tuple[str, ...]
    smtp_host: str
    smtp_port: int
    sender: str


def alerts() -> Alerts:
    """From CDMFLOW_ALERT_WEBHOOK, _ALERT_MAIL (addresses, by commas), _ALERT_FROM and _SMTP (HOST:PORT)."""
    host, _, port = (os.environ.get("CDMFLOW_SMTP") or "localhost:25").partition(":")
    return Alerts(
        webhook=os.environ.get("CDMFLOW_ALERT_WEBHOOK") or None,
        mail=tuple(part.strip() for part in (os.environ.get("CDMFLOW_ALERT_MAIL") or "").split(",") if part.strip()),
        smtp_host=host,
        smtp_port=int(port or 25),
        sender=os.environ.get("CDMFLOW_ALERT_FROM") or "cdmflow@localhost",
    )


def deadline_hours() -> float:
    """How long after the night it belongs to a scheduled run may take to end: CDMFLOW_DEADLINE_HOURS."""
    return float(os.environ.get("CDMFLOW_DEADLINE_HOURS") or 4)


def child_environment(of: Settings) -> dict[str, str]:
    """The whole environment of a service's process: this home's settings and what any program needs, nothing else.

    Proxies and other programs' settings are left out: services talk to 127.0.0.1 only.
    """
    passed = {name: value for name, value in os.environ.items() if name in PASSED_ON or name.startswith("CDMFLOW_")}
    passed |= {
        "PYTHONPATH": str(of.project),
        "CDMFLOW_HOME": str(of.home),
        "CDMFLOW_WORKERS": str(of.workers),
        "CDMFLOW_MEMORY_LIMIT": of.memory_limit,
        "CDMFLOW_KEPT_RELEASES": str(of.kept_releases),
    }
    passed.pop("CDMFLOW_DATABASE_URL", None)
    return passed | ({"CDMFLOW_DATABASE_URL": of.database_url} if of.database_url else {})


def default_input() -> Path:
    """Where a source's files lie unless a run says otherwise: CDMFLOW_INPUT, or the demo's hospital."""
    return Path(os.environ.get("CDMFLOW_INPUT") or settings().demo_dir / "hospital")


def incoming() -> Path | None:
    """The folder of the nightly drop folders, each named after its date: CDMFLOW_INCOMING; None where there is none."""
    told = os.environ.get("CDMFLOW_INCOMING")
    return Path(told) if told else None


def first_night() -> date | None:
    """From which night on the schedule catches up on nights that were missed: CDMFLOW_FIRST_NIGHT, a date.

    None: only the newest night is run.
    """
    told = os.environ.get("CDMFLOW_FIRST_NIGHT")
    return date.fromisoformat(told) if told else None


def deprecated_checks() -> bool:
    """Whether the gate also asks what OHDSI's Data Quality Dashboard has superseded: CDMFLOW_DEPRECATED_CHECKS=1."""
    return os.environ.get("CDMFLOW_DEPRECATED_CHECKS") == "1"


def source_url() -> str | None:
    """The source database that `--extract` reads: CDMFLOW_SOURCE_URL, as SQLAlchemy writes URLs. Holds a password."""
    return os.environ.get("CDMFLOW_SOURCE_URL") or None


def default_vocabulary() -> Path:
    """The vocabulary bundle unless a run says otherwise: CDMFLOW_VOCABULARY, or the demo's."""
    return Path(os.environ.get("CDMFLOW_VOCABULARY") or settings().demo_dir / "vocabulary")
