"""A broken bundle is refused whole: file, line and column in the error, nothing adopted."""

import gzip
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy

from etl import state
from etl.config import Settings, settings
from etl.errors import ContractError, DatabaseUnavailable
from etl.postgres import Database
from etl.vocabulary import bundle, load_bundle, loaded_versions
from tests.unit.vocabulary.bundles import BUNDLE, write_bundle

CONCEPT = BUNDLE["CONCEPT"]
HEADER = CONCEPT.split("\n", 1)[0] + "\n"


@pytest.fixture
def here(home: Path) -> Settings:
    return settings()


@pytest.fixture
def engine(fresh_database: Database) -> Iterator[sqlalchemy.Engine]:
    opened = state.connect(fresh_database.etl_url)
    state.create_tables(opened)
    yield opened
    opened.dispose()


FAULTS = {
    "no CONCEPT.csv": ({"CONCEPT": None}, "has no CONCEPT.csv"),
    "no CONCEPT_RELATIONSHIP.csv": ({"CONCEPT_RELATIONSHIP": None}, "has no CONCEPT_RELATIONSHIP.csv"),
    "a missing column": (
        {"CONCEPT": CONCEPT.replace("concept_code", "code")},
        r"CONCEPT\.csv, line 1: column concept_code is missing",
    ),
    "commas instead of tabs": ({"CONCEPT": CONCEPT.replace("\t", ",")}, "line 1: column concept_id, .* is missing"),
    "an unparsable id": (
        {"CONCEPT": CONCEPT.replace("1503297", "15O3297")},
        r"CONCEPT\.csv, line 3, column concept_id: the value is not a number",
    ),
    "an id beyond 32 bits": (
        {"CONCEPT": CONCEPT.replace("1503297", "15032970000")},
        r"CONCEPT\.csv, line 3, column concept_id: the value is not a number",
    ),
    "an impossible date": (
        {"CONCEPT": CONCEPT.replace("20090830", "20090231")},
        r"CONCEPT\.csv, line 4, column valid_start_date: the date is missing or not one",
    ),
    "a missing date": (
        {"CONCEPT_RELATIONSHIP": BUNDLE["CONCEPT_RELATIONSHIP"].replace("\t19700101\t", "\t\t")},
        r"CONCEPT_RELATIONSHIP\.csv, line 2, column valid_start_date: .* \(2 such lines\)",
    ),
    "a concept twice": (
        {"CONCEPT": CONCEPT + CONCEPT.splitlines()[1] + "\n"},
        r"CONCEPT\.csv, column concept_id: 201826 comes more than once",
    ),
    "a domain twice": (
        {"DOMAIN": BUNDLE["DOMAIN"] + BUNDLE["DOMAIN"].splitlines()[1]},
        r"DOMAIN\.csv, column domain_id: Condition comes more than once",
    ),
    "a short row": ({"CONCEPT": CONCEPT + "4711\tcut o"}, r"CONCEPT\.csv, line 6, column \w+: .* too few fields"),
    "a tab inside a name": (
        {"DOMAIN": "domain_id\tdomain_name\tdomain_concept_id\nA\tA\t1\nB\tB\t1\tB\n"},
        r"DOMAIN\.csv, line 3: the line has too many fields",
    ),
    "a carriage return inside a name": (
        {"CONCEPT": CONCEPT.replace("Oral Tablet", "Oral\rTablet")},
        r"CONCEPT\.csv, line \d, column \w+: the line has too few fields",
    ),
    "no concept at all": ({"CONCEPT": HEADER}, "holds no concept"),
    "an empty file": ({"CONCEPT": ""}, "line 1: column concept_id"),
    "a code longer than the CDM's column": (
        {"CONCEPT": CONCEPT.replace("44054006", "4" * 51)},
        r"CONCEPT\.csv, line 2, column concept_code: .* longer than 50",
    ),
}


@pytest.mark.faults
@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_bundle_is_refused_and_nothing_is_adopted(
    here: Settings, engine: sqlalchemy.Engine, tmp_path: Path, fault: str
) -> None:
    good = load_bundle(here, engine, write_bundle(tmp_path / "good"))
    changed, message = FAULTS[fault]
    with pytest.raises(ContractError, match=message) as caught:
        load_bundle(here, engine, write_bundle(tmp_path / "bad", **changed))
    assert caught.value.state == bundle.NOTHING_LOADED
    assert caught.value.todo
    assert loaded_versions(here, engine) == [good]
    assert [path.name for path in here.vocabulary_dir.iterdir()] == [str(good.vocabulary_id)]


@pytest.mark.faults
def test_a_load_that_dies_while_it_is_adopted_leaves_no_vocabulary_and_can_be_repeated(
    here: Settings, engine: sqlalchemy.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bundle(tmp_path)

    def full_disk(self: Path, target: Path) -> Path:
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", full_disk)
        with pytest.raises(OSError, match="no space"):
            load_bundle(here, engine, tmp_path)
    assert loaded_versions(here, engine) == []
    assert list(here.vocabulary_dir.iterdir()) == []
    loaded = load_bundle(here, engine, tmp_path)
    assert loaded_versions(here, engine) == [loaded]


@pytest.mark.faults
def test_text_that_is_not_utf_8_is_refused(here: Settings, engine: sqlalchemy.Engine, tmp_path: Path) -> None:
    write_bundle(tmp_path)
    (tmp_path / "CONCEPT.csv").write_bytes(CONCEPT.replace("metformin\t", "Ménière\t").encode("latin-1"))
    with pytest.raises(ContractError, match=r"CONCEPT\.csv, line 3, .*not UTF-8"):
        load_bundle(here, engine, tmp_path)


@pytest.mark.faults
def test_a_truncated_gzip_is_refused(here: Settings, engine: sqlalchemy.Engine, tmp_path: Path) -> None:
    write_bundle(tmp_path, CONCEPT=None)
    (tmp_path / "CONCEPT.csv.gz").write_bytes(gzip.compress(CONCEPT.encode())[:-20])
    with pytest.raises(ContractError, match=r"CONCEPT\.csv\.gz cannot be read to its end"):
        load_bundle(here, engine, tmp_path)


@pytest.mark.faults
def test_a_file_that_is_no_zip_is_refused(here: Settings, engine: sqlalchemy.Engine, tmp_path: Path) -> None:
    (tmp_path / "athena.zip").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(ContractError, match=r"athena\.zip is not a readable zip"):
        load_bundle(here, engine, tmp_path / "athena.zip")


@pytest.mark.faults
def test_a_zip_that_claims_too_much_is_refused_unread(
    here: Settings, engine: sqlalchemy.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "MAX_ZIP_BYTES", 1 << 30)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("CONCEPT.csv", HEADER)
        archive.infolist()[0].file_size = 2 << 30
    with pytest.raises(ContractError, match="would unpack to 2 GiB"):
        load_bundle(here, engine, tmp_path / "bomb.zip")


@pytest.mark.faults
def test_zip_members_never_leave_the_scratch_folder(here: Settings, engine: sqlalchemy.Engine, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        for name, text in BUNDLE.items():
            archive.writestr(f"../../../{name}.csv", text)
    load_bundle(here, engine, tmp_path / "evil.zip")
    assert not list(here.home.glob("**/CONCEPT.csv"))
    assert not list(here.home.parent.glob("CONCEPT.csv"))


def test_a_folder_that_is_not_there_is_a_clear_error(here: Settings, engine: sqlalchemy.Engine, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="no vocabulary bundle at nowhere"):
        load_bundle(here, engine, tmp_path / "nowhere")


@pytest.mark.faults
def test_a_database_that_is_down_is_told_as_such(here: Settings, tmp_path: Path) -> None:
    down = state.connect("postgresql+psycopg2://nobody@127.0.0.1:1/none")
    with pytest.raises(DatabaseUnavailable):
        load_bundle(here, down, write_bundle(tmp_path))
