"""Random kills over one home: the old release or the new one is served, the next run makes all good, nothing stays.

Nights and complete deliveries change the hospital by chance, and a rebuild follows each, on which the digests must
agree. All of these runs are killed: at a boundary of their steps, at a random moment, or with the server under them.
"""

import itertools
import logging
import os
import random
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tiny_hospital import TABLES, Hospital, Rows, write_tables, write_tiny_hospital, write_vocabulary
from warm_runs import Boundary, Ended, Moment, Warm, warm_runs

from etl.config import settings
from etl.demo import demo_vocabulary_folder
from etl.errors import DatabaseUnavailable, UsageError
from etl.pipeline import steps
from etl.pipeline.clean import clean
from etl.pipeline.resume import last_unfinished
from etl.pipeline.runs import load_run, open_run
from etl.postgres import ensure_server, server_status

pytestmark = pytest.mark.faults
log = logging.getLogger(__name__)

KILLS, KILLS_LONG = 10, 200
SEED = 20261128
ORDER = ("boundary", "moment", "boundary", "postgres", "moment")
LOCKS_GONE_S = 5
# Whatever a session of another process holds: when it is gone, so are its locks.
LOCKS = """
    SELECT count(*) FROM pg_locks JOIN pg_stat_activity AS session USING (pid)
    WHERE session.datname = current_database() AND session.backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


@dataclass
class Kills:
    """A hospital that changes from run to run, and how its runs are killed."""

    own: Hospital
    warm: Warm
    chance: random.Random
    folder: Path
    tables: dict[str, Rows] = field(default_factory=lambda: {name: list(rows) for name, rows in TABLES.items()})
    made: int = 0
    seconds: dict[tuple[str, str], float] = field(default_factory=dict)
    boundaries: Iterator[Boundary] = field(init=False)
    count: dict[str, int] = field(default_factory=dict)
    slowest_lock_s: float = 0.0

    def __post_init__(self) -> None:
        every = [Boundary(step.name, at) for step in steps("synthea") for at in ("before", "unrecorded", "after")]
        self.chance.shuffle(every)
        self.boundaries = itertools.cycle(every)

    def _day(self) -> str:
        return f"2024-{self.chance.randint(1, 12):02}-{self.chance.randint(1, 28):02}"

    def changed(self) -> dict[str, Rows]:
        """What a night brings: another diagnosis and a stay, now and then another patient."""
        self.made += 1
        patient = self.chance.choice(self.tables["patients"])
        if self.chance.random() < 0.2:
            patient = patient | {"Id": f"p{self.made + 100}", "DEATHDATE": ""}
            self.tables["patients"] = [*self.tables["patients"], patient]
        visit = {
            "Id": f"e{self.made + 100}", "START": f"{self._day()}T10:00:00Z", "STOP": "", "PATIENT": patient["Id"],
            "ENCOUNTERCLASS": self.chance.choice(("inpatient", "ambulatory")),
        }  # fmt: skip
        diagnosis = {
            "START": self._day(), "PATIENT": patient["Id"], "ENCOUNTER": visit["Id"],
            "CODE": self.chance.choice(("44054006", "59621000")), "DESCRIPTION": "",
        }  # fmt: skip
        for name, row in (("encounters", visit), ("conditions", diagnosis)):
            rows = self.tables[name]
            kept = rows[1:] if len(rows) > 3 and self.chance.random() < 0.5 else rows
            self.tables[name] = [*kept, row]
        return {name: self.tables[name] for name in ("patients", "encounters", "conditions")}

    def opened(self, kind: str) -> str:
        """A run of this kind that waits for its steps."""
        place = self.folder / str(self.made)
        if kind == "night":
            drop = str(write_tables(place, self.changed()))
            return open_run(source="synthea", input_folder=drop, vocabulary_folder=None, is_drop=True)
        if kind == "rebuild":
            return open_run(source="synthea", input_folder=None, vocabulary_folder=None)
        delivery = write_tiny_hospital(place, {**self.tables, **self.changed()})
        bundle = write_vocabulary(self.folder / f"vocabulary-{self.made}", {"8507": {"concept_name": f"M{self.made}"}})
        return open_run(source="synthea", input_folder=str(delivery), vocabulary_folder=str(bundle))

    def how(self, kind: str, sort: str) -> Boundary | Moment:
        if sort == "boundary":
            return next(self.boundaries)
        publish = ["publish", "publish_vocabulary"] if kind == "delivery" else ["publish"]
        build = [step.name for step in steps("synthea") if step.group not in ("publish", "land")]
        phases = [publish] if sort == "postgres" else [["land", "landing_gate"], build, publish]
        step = self.chance.choice(self.chance.choice(phases))
        delay = self.chance.random() * self.seconds.get((kind, step), 0.5)
        return Moment(step, delay, kill_server) if sort == "postgres" else Moment(step, delay)

    def remember(self, kind: str, run_id: str) -> None:
        """How long each step takes: where in it the next moment may lie."""
        told = self.own.query(f"SELECT step, seconds FROM etl.run_step WHERE run_id = '{run_id}'")
        self.seconds |= {(kind, step): float(seconds) for step, seconds in told}


def kill_server(_: int) -> None:
    """SIGKILL the postmaster of this home and all its backends."""
    postmaster = server_status(settings()).pid
    assert postmaster is not None
    backends = children_of(postmaster)
    for pid in (postmaster, *backends):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it ended by itself meanwhile


def children_of(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        if int(fields[1]) == parent:
            found.append(int(stat.parent.name))
    return found


def start_server_again() -> None:
    """Backends that the kernel has not taken down yet keep the data folder for a moment: up to 10 s, as seen."""
    deadline = time.monotonic() + 30
    while True:
        try:
            ensure_server(settings())
            return
        except DatabaseUnavailable:
            assert time.monotonic() < deadline, "the server does not start again"
            time.sleep(0.2)


def assert_no_lock_stays(kills: Kills, what: str) -> None:
    began = time.monotonic()
    while kills.own.query(LOCKS) != [(0,)]:
        assert time.monotonic() < began + LOCKS_GONE_S, f"a lock is held {LOCKS_GONE_S} s after {what}"
        time.sleep(0.05)
    kills.slowest_lock_s = max(kills.slowest_lock_s, time.monotonic() - began)


def killed(kills: Kills, kind: str, sort: str) -> tuple[str, Ended, str]:
    """A run of this kind, killed; its id, how its process ended, and what was done to it in words."""
    run_id, before = kills.opened(kind), kills.own.served_tables()
    how = kills.how(kind, sort)
    ended = kills.warm.run(run_id, how)
    told = f"{sort} {how} of a {kind}"
    if sort == "postgres":
        start_server_again()
        assert ended.status in (0, 1), f"{ended.error} after {told}"
        assert ended.status == 0 or ended.error.startswith("DatabaseUnavailable"), f"{ended.error} after {told}"
    else:
        assert ended.status in (0, -signal.SIGKILL), f"{ended.error} after {told}"
    assert_no_lock_stays(kills, told)
    published = kills.own.query(f"SELECT tables FROM etl.release WHERE run_id = '{run_id}'")
    assert kills.own.served_tables() == (published[0][0] if published else before), told
    return run_id, ended, told


def run_again(kills: Kills, run_id: str, told: str) -> None:
    """What a user does: go on with the run, unless it had published and ended."""
    if kills.chance.random() < 0.3:
        clean()
        assert_nothing_unknown(kills.own, f"clean after {told}")
    try:
        last_unfinished(run_id)
    except UsageError:
        assert load_run(run_id).status == "published", told
        return
    ended = kills.warm.run(run_id)
    assert ended.status == 0, f"{ended.error} when run again after {told}"


def assert_made_good(kills: Kills, run_id: str, told: str) -> dict[str, Any]:
    """It is published, served as recorded, complete on disk, and nothing is left over; what its tables hold."""
    run, found = load_run(run_id), kills.own.served_tables()
    assert run.status == "published", told
    assert found == kills.own.release_tables(run), told
    [(number,)] = kills.own.query(f"SELECT release_id FROM etl.release WHERE run_id = '{run_id}'")
    for name in ("release.json", "diff.json", "report/candidate/index.html", "report/landing/index.html"):
        assert (settings().releases_dir / str(number) / name).exists(), f"{name} after {told}"
    clean()
    assert_nothing_unknown(kills.own, told)
    assert set(clean().values()) == {0}, told
    return found


def assert_nothing_unknown(own: Hospital, told: str) -> None:
    """Every schema and every file belongs to something that is recorded."""
    releases = {number for (number,) in own.query("SELECT release_id FROM etl.release")}
    schemas = {name for (name,) in own.query("SELECT schema_name FROM etl.release")}
    schemas |= {name for (name,) in own.query("SELECT schema_name FROM etl.vocabulary")}
    schemas |= {f"cdm_d{number}" for number in releases} | {"etl", "cdm", "results", "pii", "public"}
    present = {name for (name,) in own.query("SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_'")}
    assert present - schemas - {"information_schema"} == set(), told
    batches = {
        (source, table, str(number))
        for source, table, number in own.query("SELECT source, table_name, batch_id FROM etl.batch")
    }
    vocabularies = {str(number) for (number,) in own.query("SELECT vocabulary_id FROM etl.vocabulary")}
    runs = {name for (name,) in own.query("SELECT run_id FROM etl.run")}

    def is_known(parts: tuple[str, ...]) -> bool:
        if any(re.match(r"[.]|tmp", part) for part in parts):
            return False
        match parts:
            case ("lake", "landing" | "rejects" | "lines" | "numbers", source, table, name):
                return (source, table, name.split(".")[0]) in batches
            case ("lake", "vocabulary", number, _):
                return number in vocabularies
            case ("lake", "runs", run_id, *_):
                return run_id in runs
            case ("releases", number, *_):
                return int(number) in releases
        return parts[0] in ("postgres", "logs")

    files = [path for path in own.home.rglob("*") if not path.is_dir()]
    unknown = [path for path in files if not is_known(path.relative_to(own.home).parts)]
    assert unknown == [], told


def kinds(chance: random.Random) -> Iterator[str]:
    """Something new, then a rebuild of it, for ever."""
    while True:
        yield "delivery" if chance.random() < 0.2 else "night"
        yield "rebuild"


def test_whatever_is_killed_the_next_run_makes_good(
    own: Hospital, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    wanted = KILLS_LONG if request.config.getoption("--long") else KILLS
    first = own.run(write_tiny_hospital(tmp_path / "first"), demo_vocabulary_folder())
    with warm_runs(tmp_path / "runs.log") as warm:
        kills = Kills(own, warm, random.Random(SEED), tmp_path)
        kills.remember("delivery", first.run_id)
        expected: dict[str, Any] = own.release_tables(first)
        changing = kinds(kills.chance)
        while sum(kills.count.values()) < wanted:
            sort, kind = ORDER[sum(kills.count.values()) % len(ORDER)], next(changing)
            run_id, ended, told = killed(kills, kind, sort)
            if ended.status != 0:  # the moment came before the run's end
                kills.count[sort] = kills.count.get(sort, 0) + 1
                log.info("kill %d: %s, %d steps were done", sum(kills.count.values()), told, len(ended.done))
            run_again(kills, run_id, told)
            found = assert_made_good(kills, run_id, told)
            if kind == "rebuild":
                assert found == expected, told
            expected = found
            kills.remember(kind, run_id)
        undisturbed = own.run(None)
        assert own.release_tables(undisturbed) == expected
        log.info("%s; a lock stayed %.2f s at most", kills.count, kills.slowest_lock_s)
