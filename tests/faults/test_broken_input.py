"""Whatever is wrong with the input: a clear error or a quarantined row, and the published release stays as it was."""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_hospital import TABLES, Hospital, write_tiny_hospital

from etl.demo import demo_vocabulary_folder
from etl.errors import CdmflowError, ContractError, GateRefused, Locked
from etl.pipeline.execute import run_steps
from etl.pipeline.runs import load_run, open_run, run_lock

pytestmark = pytest.mark.faults

Break = Callable[[Path], None]


@pytest.fixture(scope="module")
def published(hospital: Hospital, tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    """A hospital with a good release."""
    hospital.run(write_tiny_hospital(tmp_path_factory.mktemp("good")))
    return hospital


def replace(file: str, old: str, new: str) -> Break:
    def breaking(folder: Path) -> None:
        path = folder / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return breaking


def drop_last_field(folder: Path) -> None:
    path = folder / "conditions.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-1], lines[-1].rsplit(",", 1)[0]]) + "\n")


def truncate_gzip(folder: Path) -> None:
    path = folder / "observations.csv"
    packed = gzip.compress(path.read_bytes() * 50)
    path.unlink()
    (folder / "observations.csv.gz").write_bytes(packed[: len(packed) // 2])


def empty(folder: Path) -> None:
    (folder / "encounters.csv").write_bytes(b"")


def not_utf8(folder: Path) -> None:
    path = folder / "providers.csv"
    path.write_bytes(path.read_bytes().replace(b"Doc One", "의사".encode("cp949")))


def no_patients(folder: Path) -> None:
    (folder / "patients.csv").unlink()


def many_bad_dates(folder: Path) -> None:
    path = folder / "conditions.csv"
    line = "2023-02-30,,p1,e1,44054006,Diabetes mellitus type 2 (disorder)\n"
    path.write_text(path.read_text() + line * 30)


REFUSED: dict[str, tuple[Break, str]] = {
    "a missing column": (replace("conditions.csv", "CODE", "KODE"), "conditions.csv has no column CODE"),
    "a wrong type in a whole column": (many_bad_dates, "conditions.csv"),
    "a truncated gzip": (truncate_gzip, "observations.csv.gz"),
    "an empty file": (empty, "encounters.csv"),
    "bytes of another encoding": (not_utf8, "providers.csv"),
    "no patients at all": (no_patients, "patients"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_broken_file_is_named_and_the_release_stays(what: str, published: Hospital, tmp_path: Path) -> None:
    breaking, says = REFUSED[what]
    folder = write_tiny_hospital(tmp_path / "broken")
    breaking(folder)
    release, persons = published.current_release(), published.query("SELECT * FROM cdm.person ORDER BY 1")
    with pytest.raises(ContractError) as caught:
        published.run(folder)
    assert says in caught.value.what
    assert caught.value.state
    assert caught.value.todo
    assert published.current_release() == release
    assert published.query("SELECT * FROM cdm.person ORDER BY 1") == persons


def test_an_unknown_encoding_is_an_error_of_the_contract(project: Path, tmp_path: Path) -> None:
    from etl.land import read_contract

    text = (project / "sources/synthea/tables.yml").read_text().replace("encoding: utf-8", "encoding: utf-11", 1)
    path = tmp_path / "tables.yml"
    path.write_text(text)
    with pytest.raises(ContractError, match="utf-11"):
        read_contract(path, "tables.yml")


QUARANTINED: dict[str, tuple[Break, str, str, str]] = {
    "a row with too few fields": (drop_last_field, "conditions", "rejected", "too few fields"),
    "an impossible date": (
        replace("conditions.csv", "2024-04-01,", "2024-02-31,"), "conditions", "rejected", "impossible date",
    ),
    "a row twice under one key": (
        replace("encounters.csv", "e3,2024-06-01", "e2,2024-06-01"), "encounters", "rejected", "duplicate key",
    ),
    "an event of a patient who is not there": (
        replace("observations.csv", ",p1,", ",p404,"), "observations", "excluded", "person_unknown",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", QUARANTINED)
def test_a_broken_row_is_set_aside_with_its_reason(what: str, published: Hospital, tmp_path: Path) -> None:
    breaking, table, kind, reason = QUARANTINED[what]
    folder = write_tiny_hospital(tmp_path / "broken")
    breaking(folder)
    run = published.run(folder)
    assert run.status == "published"
    account = published.ledger(run)[table]
    found: dict[str, int] = getattr(account, kind)
    assert {name: rows for name, rows in found.items() if reason in name} and sum(found.values()) == 1
    assert account.adds_up


@pytest.mark.parametrize("missing", ["CONCEPT.csv", "CONCEPT_RELATIONSHIP.csv"])
def test_a_vocabulary_without_its_main_files_is_refused_whole(
    missing: str, published: Hospital, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(demo_vocabulary_folder(), bundle)
    (bundle / missing).unlink()
    release = published.current_release()
    with pytest.raises(ContractError, match=missing.removesuffix(".csv")):
        published.run(write_tiny_hospital(tmp_path / "good"), bundle)
    assert published.current_release() == release


def test_a_refusal_of_the_gate_publishes_nothing(published: Hospital, tmp_path: Path) -> None:
    """Nobody has a year of birth, so nobody is a person: an empty CDM is critical."""
    patients = [row | {"BIRTHDATE": ""} for row in TABLES["patients"]]
    release, persons = published.current_release(), published.query("SELECT count(*) FROM cdm.person")
    folder = write_tiny_hospital(tmp_path / "unborn", {"patients": patients})
    with pytest.raises(GateRefused, match="person") as caught:
        published.run(folder)
    assert caught.value.exit_code == 3
    assert published.current_release() == release
    assert published.query("SELECT count(*) FROM cdm.person") == persons
    [(status, verdict)] = published.query("SELECT status, verdict FROM etl.run ORDER BY started_at DESC LIMIT 1")
    assert status == "refused"
    assert not verdict["passed"]
    report = load_run(published.query("SELECT run_id FROM etl.run ORDER BY started_at DESC LIMIT 1")[0][0]).folder
    assert (report / "report/candidate/index.html").exists()


def test_a_candidate_without_a_verdict_is_not_published(published: Hospital, tmp_path: Path) -> None:
    from etl.pipeline import run_step

    run_id = open_run(
        source="synthea",
        input_folder=str(write_tiny_hospital(tmp_path / "good")),
        vocabulary_folder=str(demo_vocabulary_folder()),
    )
    for step in ("land", "load_vocabulary"):
        run_step(run_id, step)
    release = published.current_release()
    with pytest.raises(GateRefused, match="no passed verdict"):
        run_step(run_id, "publish")
    assert published.current_release() == release


def test_a_second_run_at_the_same_time_is_locked_out(published: Hospital, tmp_path: Path) -> None:
    folder = write_tiny_hospital(tmp_path / "good")
    run_id = open_run(source="synthea", input_folder=str(folder), vocabulary_folder=str(demo_vocabulary_folder()))
    with run_lock("another"), pytest.raises(Locked) as caught:
        run_steps(run_id)
    assert caught.value.exit_code == 4


def test_every_error_has_an_exit_code_of_its_own_meaning() -> None:
    assert {error.__name__: error.exit_code for error in (CdmflowError, ContractError, GateRefused, Locked)} == {
        "CdmflowError": 1,
        "ContractError": 1,
        "GateRefused": 3,
        "Locked": 4,
    }
