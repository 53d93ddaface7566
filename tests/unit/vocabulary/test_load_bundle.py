"""A bundle that is fine, in every form Athena bundles come in."""

import gzip
import zipfile
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
import sqlalchemy

from etl import state
from etl.cdm import tables
from etl.config import Settings, settings
from etl.engine import duckdb_type
from etl.postgres import Database
from etl.vocabulary import load_bundle, loaded_versions
from etl.vocabulary.bundle import BUNDLE_TABLES
from tests.unit.vocabulary.bundles import BUNDLE, named_ids, rows, unresolved_keys, write_bundle


@pytest.fixture
def here(home: Path) -> Settings:
    return settings()


@pytest.fixture
def engine(fresh_database: Database) -> Iterator[sqlalchemy.Engine]:
    opened = state.connect(fresh_database.etl_url)
    state.create_tables(opened)
    yield opened
    opened.dispose()


def test_all_nine_tables_have_the_columns_of_the_cdm(here: Settings, engine: sqlalchemy.Engine, tmp_path: Path) -> None:
    version = load_bundle(here, engine, write_bundle(tmp_path))
    assert version.version == "v5.0 30-AUG-24"
    assert version.path == here.vocabulary_dir / str(version.vocabulary_id)
    for table in BUNDLE_TABLES:
        described = duckdb.sql(f"DESCRIBE SELECT * FROM '{version.path / table}.parquet'").fetchall()
        assert [row[:2] for row in described] == [(f.name, duckdb_type(f.sql_type)) for f in tables()[table].fields]
    assert set(version.counts) == set(BUNDLE_TABLES)


def test_quotes_are_characters_and_both_date_formats_are_read(
    here: Settings, engine: sqlalchemy.Engine, tmp_path: Path
) -> None:
    version = load_bundle(here, engine, write_bundle(tmp_path))
    found = rows(version.path, "concept", "concept_name, valid_start_date::text", "concept_id IN (1503297, 45533018)")
    assert found == [('5" needle, "sterile', "2020-01-01"), ("metformin", "1970-01-01")]


def test_every_foreign_key_of_the_specification_holds(
    here: Settings, engine: sqlalchemy.Engine, tmp_path: Path
) -> None:
    version = load_bundle(here, engine, write_bundle(tmp_path))
    assert unresolved_keys(version.path) == {}
    assert rows(version.path, "concept_relationship", "concept_id_2") == [(201826,)]
    assert rows(version.path, "drug_strength", "amount_value, amount_unit_concept_id") == [(500.0, 0)]
    assert rows(version.path, "concept_synonym", "language_concept_id") == [(0,)]
    assert ("Thing", "Thing", 0) in rows(version.path, "concept_class")
    assert ("Maps to", "Maps to", "0", "0", "Maps to", 0) in rows(version.path, "relationship")
    text = "\n".join(version.warnings)
    assert "1 rows of CONCEPT_RELATIONSHIP point to concepts that the bundle lacks: kept out." in text
    assert "DRUG_STRENGTH.amount_unit_concept_id" in text


def test_concepts_that_sql_names_are_added_and_named_in_a_warning(
    here: Settings, engine: sqlalchemy.Engine, tmp_path: Path
) -> None:
    version = load_bundle(here, engine, write_bundle(tmp_path))
    ids = {row[0] for row in rows(version.path, "concept", "concept_id")}
    assert named_ids() < ids
    assert version.counts["concept"] == 4 + len(named_ids())
    assert any("0 No matching concept" in warning for warning in version.warnings)


def test_the_same_content_twice_is_a_no_op_however_it_is_packed(
    here: Settings, engine: sqlalchemy.Engine, tmp_path: Path
) -> None:
    first = load_bundle(here, engine, write_bundle(tmp_path / "plain"))
    packed = tmp_path / "packed"
    packed.mkdir()
    for name, text in BUNDLE.items():
        (packed / f"{name.lower()}.csv.gz").write_bytes(gzip.compress(text.encode()))
    with zipfile.ZipFile(tmp_path / "athena.zip", "w") as archive:
        for name, text in BUNDLE.items():
            archive.writestr(f"download/{name}.csv", text)
    assert load_bundle(here, engine, packed) == first
    assert load_bundle(here, engine, tmp_path / "athena.zip") == first
    assert loaded_versions(here, engine) == [first]
    assert not (here.vocabulary_dir / ".loading").exists()


@pytest.mark.parametrize(
    "form", ["crlf", "bom", "no newline at the end", "mixed line ends", "columns in another order"]
)
def test_forms_that_mean_the_same(here: Settings, engine: sqlalchemy.Engine, tmp_path: Path, form: str) -> None:
    plain = load_bundle(here, engine, write_bundle(tmp_path / "plain"))
    text = BUNDLE["CONCEPT"]
    head, rest = text.split("\n", 1)
    changed = {
        "crlf": text.replace("\n", "\r\n"),
        "bom": "\ufeff" + text,
        "no newline at the end": text.rstrip("\n"),
        "mixed line ends": f"{head}\r\n{rest}",
        "columns in another order": "".join("\t".join(line.split("\t")[::-1]) + "\n" for line in text.splitlines()),
    }[form]
    other = load_bundle(here, engine, write_bundle(tmp_path / "other", CONCEPT=changed))
    assert other.vocabulary_id != plain.vocabulary_id
    assert rows(other.path, "concept") == rows(plain.path, "concept")


@pytest.mark.parametrize("table", [table for table in BUNDLE_TABLES if not table.startswith("concept_rel")][1:])
def test_an_optional_file_may_be_missing(here: Settings, engine: sqlalchemy.Engine, tmp_path: Path, table: str) -> None:
    version = load_bundle(here, engine, write_bundle(tmp_path, **{table.upper(): None}))
    assert any(warning.startswith(f"The bundle has no {table.upper()}.csv: ") for warning in version.warnings)
    assert (version.path / f"{table}.parquet").is_file()
    assert unresolved_keys(version.path) == {}
    if table == "vocabulary":
        assert version.version.startswith("unversioned-")


def test_a_vocabulary_whose_files_were_lost_is_loaded_again_under_its_number(
    here: Settings, engine: sqlalchemy.Engine, tmp_path: Path
) -> None:
    first = load_bundle(here, engine, write_bundle(tmp_path))
    (first.path / "concept.parquet").unlink()
    assert load_bundle(here, engine, tmp_path) == first
    assert (first.path / "concept.parquet").is_file()


@pytest.mark.parametrize(("name", "concepts"), [("vocabulary_synthea", 10_719), ("vocabulary_mini", 1_740)])
def test_the_shared_bundles_load_and_their_keys_hold(
    here: Settings, engine: sqlalchemy.Engine, shared_data: Path, name: str, concepts: int
) -> None:
    version = load_bundle(here, engine, shared_data / name)
    before = {row[0] for row in rows(version.path, "concept", "concept_id")}
    assert len(before) == version.counts["concept"] == concepts + len(added_ids(version.path, shared_data / name))
    assert unresolved_keys(version.path) == {}


def added_ids(path: Path, bundle: Path) -> set[int]:
    lines = (bundle / "CONCEPT.csv").read_text(encoding="utf-8").splitlines()[1:]
    return named_ids() - {int(line.split("\t")[0]) for line in lines}
