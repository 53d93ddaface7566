"""A small hospital of two tables for the landing's tests: its contract, and ways to land its files."""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select

from etl.config import Settings, settings
from etl.engine import connection, quote_path
from etl.land import Contract, LandedBatch, LandingResult, land_folder, read_contract
from etl.postgres import Database
from etl.state import batch, connect, create_tables

CONTRACT = """
source: clinic
time_zone: UTC
reject_limit: {share: 0.1, rows: 3}
tables:
  stays:
    file: stays
    required: true
    key: [Id]
    person: PATIENT
    change: snapshot
    business_date: START
    pii: [SSN]
    columns:
      Id: {type: text, required: true}
      START: {type: timestamp, required: true}
      DAY: {type: date}
      PATIENT: {type: text, required: true}
      BEDS: {type: integer}
      COST: {type: "decimal(8,2)", aliases: [PRICE]}
      NOTE: {type: text, optional: true}
  remarks:
    file: remarks
    key: whole row
    change: snapshot
    columns:
      TEXT: {type: text, required: true}
      NUMBER: {type: integer}
"""

HEADER = "Id,START,DAY,PATIENT,BEDS,COST,NOTE"


def stays(count: int, first: int = 1) -> list[str]:
    """Sound rows of the table `stays`."""
    return [f"s{n},2020-01-02T03:04:05Z,2020-01-02,p{n % 3},{n},10.50,note {n}" for n in range(first, first + count)]


def csv(*rows: str, header: str = HEADER, end: str = "\n") -> str:
    return end.join((header, *rows)) + end


def open_clinic(database: Database, folder: Path, contract: str = CONTRACT) -> "Clinic":
    """A clinic of this contract over an empty database and the home of the test."""
    engine = connect(database.etl_url)
    create_tables(engine)
    return Clinic(settings(), engine, make_contract(folder, contract), folder)


def make_contract(folder: Path, text: str = CONTRACT) -> Contract:
    path = folder / "tables.yml"
    path.write_text(text, encoding="utf-8")
    return read_contract(path, "sources/clinic/tables.yml")


@dataclass
class Clinic:
    """A home, a database and a contract; `land` writes files into a new folder and lands it."""

    settings: Settings
    engine: Engine
    contract: Contract
    root: Path
    folders: list[Path] = field(default_factory=list)

    def folder(self, files: Mapping[str, str | bytes]) -> Path:
        folder = self.root / f"drop{len(self.folders)}"
        folder.mkdir()
        self.folders.append(folder)
        for name, content in files.items():
            data = content.encode("utf-8") if isinstance(content, str) else content
            pack = name.endswith(".gz") and data[:2] != b"\x1f\x8b"
            (folder / name).write_bytes(gzip.compress(data) if pack else data)
        return folder

    def land(self, files: Mapping[str, str | bytes]) -> LandingResult:
        return land_folder(self.settings, self.engine, self.contract, self.folder(files), run_id="test", workers=2)

    def batches(self) -> int:
        with self.engine.connect() as state:
            return int(state.execute(select(func.count()).select_from(batch)).scalar_one())

    def rejects(self, landed: LandedBatch) -> list[tuple[Any, ...]]:
        """file, record_no, line_no, reason of a batch's rejected rows."""
        path = self.settings.rejects_dir / self.contract.source / landed.table / f"{landed.batch_id}.parquet"
        return rows(path, "file, record_no, line_no, reason")

    def parquet_files(self) -> list[Path]:
        return sorted(self.settings.landing_dir.rglob("*.parquet"))


def rows(path: Path, columns: str = "*") -> list[tuple[Any, ...]]:
    """The rows of a Parquet file in stored order."""
    with connection(threads=1) as con:
        return list(con.execute(f"SELECT {columns} FROM read_parquet({quote_path(path)})").fetchall())
