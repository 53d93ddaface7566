"""Source files of older layouts brought into the contract's, as a site would before it delivers them."""

import csv
from datetime import datetime
from pathlib import Path

from etl.config import settings
from etl.land import load_contract
from etl.land.contract import SourceTable

# What columns were called before Synthea 3.0.
OLD_NAMES = {("procedures", "start"): "date", ("medications", "base_cost"): "cost", ("procedures", "base_cost"): "cost"}


def adapted(source: Path, folder: Path, date_formats: tuple[str, ...] = (), leave_out: tuple[str, ...] = ()) -> Path:
    """Copy the tables' files to `folder`: old names become today's, missing columns are empty, dates as 2013-01-07.

    `date_formats` are those of the source, tried in order; without any, dates are copied as they are. `leave_out`
    are tables that lack what the contract cannot do without.
    """
    folder.mkdir(parents=True)
    for table in load_contract(settings(), "synthea").tables.values():
        path = source / f"{table.file}.csv"
        if path.exists() and table.name not in leave_out:
            _adapt(table, path, folder / path.name, date_formats)
    return folder


def _adapt(table: SourceTable, path: Path, output: Path, date_formats: tuple[str, ...]) -> None:
    with path.open(encoding="utf-8", newline="") as lines, output.open("w", encoding="utf-8", newline="") as out:
        reader = csv.DictReader(lines)
        present = {name.lower(): name for name in reader.fieldnames or ()}
        found = {
            column.name: present.get(column.lower) or present.get(OLD_NAMES.get((table.name, column.lower), ""), "")
            for column in table.columns
        }
        writer = csv.DictWriter(out, [column.name for column in table.columns], lineterminator="\n")
        writer.writeheader()
        for record in reader:
            row = {column.name: record.get(found[column.name]) or "" for column in table.columns}
            for column in table.columns:
                if column.type in ("date", "timestamp") and row[column.name] and date_formats:
                    row[column.name] = _date(row[column.name], date_formats)
            writer.writerow(row)


def _date(text: str, formats: tuple[str, ...]) -> str:
    for known in formats:
        try:
            return datetime.strptime(text, known).date().isoformat()
        except ValueError:
            continue
    raise AssertionError(f"a date is in none of {formats}")
