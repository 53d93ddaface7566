"""A full disk under the lake or PostgreSQL: a clear error, nothing published, nothing half-written, then go on."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from homes import make_home, remove_home, settings_of
from tiny_hospital import TABLES, Hospital, hospital_in, write_tables, write_tiny_hospital, write_vocabulary

from etl.config import settings
from etl.errors import CdmflowError, DatabaseUnavailable, DiskFull
from etl.pipeline.clean import clean
from etl.pipeline.execute import run_steps
from etl.pipeline.resume import last_unfinished
from etl.pipeline.runs import load_run, open_run
from etl.postgres import ensure_server, stop_server

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk to fill"),
]
PROJECT = Path(__file__).resolve().parents[2]
VALUES = ("Ada", "Bo", "Two", "999-22-2222", "2 Second Street", "LOCAL-404", "1950-07-15")


class Disk:
    """A small disk of its own, and the file that fills it."""

    def __init__(self, folder: Path) -> None:
        self.ballast = folder / "ballast"

    def fill(self) -> None:
        """To the last page: a write of a byte fails."""
        with self.ballast.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError as error:
                    assert error.errno == errno.ENOSPC

    def make_space(self) -> None:
        self.ballast.unlink(missing_ok=True)


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Disk]:
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0711", "tmpfs", str(folder)]
    outcome = subprocess.run(mount, capture_output=True, text=True, check=False)
    if outcome.returncode != 0:
        pytest.skip(f"this machine mounts no tmpfs: {outcome.stderr.strip()}")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def hospital_on(folder: str, size: str) -> Iterator[tuple[Hospital, Disk]]:
    """A home of which one folder is a disk of its own."""
    home = make_home()
    try:
        with mounted(home / folder, size) as disk:
            try:
                with hospital_in(home) as hospital:
                    yield hospital, disk
            finally:
                disk.make_space()
                stop_server(settings_of(home))  # before its disk goes
    finally:
        remove_home(home)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Hospital, Disk]]:
    """A published hospital with a lake of 24 MB, whose nights are of some persons."""
    with pytest.MonkeyPatch.context() as patch, hospital_on("lake", "24m") as (hospital, disk):
        patch.setattr("etl.pipeline.scope.LARGEST_SHARE", 1.0)
        hospital.run(write_tiny_hospital(tmp_path_factory.mktemp("first")))
        yield hospital, disk


def night(folder: Path) -> Path:
    """A diagnosis more, and one that is broken: rejects are written too."""
    more = TABLES["conditions"][1] | {"CODE": "44054006"}
    return write_tables(folder, {"conditions": [*TABLES["conditions"], more, more | {"START": "2024-02-31"}]})


def opened(folder: Path) -> str:
    return open_run(source="synthea", input_folder=str(night(folder)), vocabulary_folder=None, is_drop=True)


def opened_rebuild() -> str:
    return open_run(source="synthea", input_folder=None, vocabulary_folder=None)


def assert_nothing_half_written(home: Path) -> None:
    for path in home.glob("l*/**/*"):
        assert not path.name.startswith(".") and "tmp" not in path.name, path
        if path.suffix == ".parquet":
            assert pyarrow.parquet.read_metadata(path).num_columns
        elif path.suffix == ".json":
            assert json.loads(path.read_text()) is not None
    recorded = {path.stem for path in home.glob("lake/landing/*/*/*.parquet")}
    assert {path.stem for path in home.glob("lake/rejects/*/*/*.parquet")} <= recorded


def assert_says_all(error: CdmflowError) -> None:
    assert error.what and error.state and error.todo
    assert "disk is full" in error.what
    assert "release stays" in error.state
    assert not any(value in str(error) for value in VALUES)


def made_good(hospital: Hospital, run_id: str) -> None:
    """The run goes on where it was, and its release is a rebuild's."""
    run_steps(last_unfinished(run_id).run_id, resume=True)
    run = load_run(run_id)
    assert run.status == "published"
    assert hospital.served_tables() == hospital.release_tables(run)
    assert hospital.release_tables(hospital.run(None)) == hospital.release_tables(run)
    clean()
    assert set(clean().values()) == {0}


def test_a_night_that_finds_the_lake_full_says_so_and_goes_on_when_there_is_space(
    small: tuple[Hospital, Disk], tmp_path: Path
) -> None:
    """At the landing, at steps of the build of every kind, and in the gate, each on the release of the one before."""
    hospital, disk = small
    before, run_id = hospital.served_tables(), opened(tmp_path / "night")
    for step in ("land", "src_events", "person_ids", "map_codes", "condition_occurrence", "account", "gate"):

        def fill(state: str, begun: Any, _: Any, step: str = step) -> None:
            if (state, begun.name) == ("started", step):
                disk.fill()

        with pytest.raises(DiskFull) as caught:
            run_steps(run_id, resume=True, workers=1, progress=fill)
        assert_says_all(caught.value)
        assert f"Step {step} of run {run_id}" in caught.value.what
        assert load_run(run_id).status == "failed"
        assert load_run(run_id).message == caught.value.what
        disk.make_space()
        assert_nothing_half_written(hospital.home)
        assert hospital.served_tables() == before, step
    run_steps(last_unfinished(run_id).run_id, resume=True)
    run = load_run(run_id)
    assert run.status == "published"
    assert hospital.served_tables() == hospital.release_tables(run) != before
    assert hospital.release_tables(hospital.run(None)) == hospital.release_tables(run)
    assert set(clean().values()) == {0}


def test_a_vocabulary_that_finds_the_lake_full_is_not_there_at_all(
    small: tuple[Hospital, Disk], tmp_path: Path
) -> None:
    hospital, disk = small
    before = hospital.served_tables()
    bundle = write_vocabulary(tmp_path / "bundle", {"8507": {"concept_name": "MAN"}})
    disk.fill()
    with pytest.raises(DiskFull) as caught:
        hospital.run(None, bundle)
    disk.make_space()
    assert_says_all(caught.value)
    assert_nothing_half_written(hospital.home)
    assert hospital.query("SELECT count(*) FROM etl.vocabulary") == [(1,)]
    assert [path.name for path in settings().vocabulary_dir.iterdir()] == ["1"]
    assert hospital.served_tables() == before
    assert hospital.run(None, bundle).status == "published"


def test_the_command_line_tells_of_a_full_lake_in_three_lines_without_a_traceback(
    small: tuple[Hospital, Disk], tmp_path: Path
) -> None:
    hospital, disk = small
    before = hospital.served_tables()
    disk.fill()
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "etl.cli", "run", "--drop", str(night(tmp_path / "night"))],
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    disk.make_space()
    said = ended.stdout + ended.stderr
    assert ended.returncode == DiskFull.exit_code, said
    assert "disk is full" in said and "The last release stays" in said and "./cdmflow run --resume" in said
    assert "Traceback" not in said and not any(value in said for value in VALUES)
    assert_nothing_half_written(hospital.home)
    assert hospital.served_tables() == before


def test_a_publish_that_finds_postgresqls_disk_full_changes_nothing_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a night's delta, and as a full release. The server may end itself where it cannot write its log any more."""
    monkeypatch.setattr("etl.pipeline.scope.LARGEST_SHARE", 1.0)
    with hospital_on("postgres", "400m") as (hospital, disk):
        before = hospital.release_tables(hospital.run(write_tiny_hospital(tmp_path / "first")))

        def fill(state: str, begun: Any, _: Any) -> None:
            if (state, begun.name) == ("started", "publish"):
                disk.fill()

        for kind in ("night", "rebuild"):
            run_id = opened(tmp_path / "second") if kind == "night" else opened_rebuild()
            with pytest.raises(CdmflowError) as caught:
                run_steps(run_id, resume=True, progress=fill)
            assert isinstance(caught.value, DiskFull | DatabaseUnavailable)
            assert caught.value.what and caught.value.state and caught.value.todo
            assert not any(value in str(caught.value) for value in VALUES)
            disk.make_space()
            ensure_server(settings())
            assert hospital.served_tables() == before
            run_steps(run_id, resume=True)
            assert load_run(run_id).status == "published"
            before = hospital.release_tables(load_run(run_id))
            assert hospital.served_tables() == before
        clean()
        assert set(clean().values()) == {0}
