"""What must stay as it is from one release to the next: numbers of persons and rows, and records of untouched persons.

Told by the landed rows alone, not by what a run takes for its scope.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow.parquet
from tiny_hospital import Hospital

from etl import land
from etl.cdm import tables
from etl.config import settings
from etl.pipeline.runs import Run, kept_state
from etl.publish import IN_PLACE

Row = tuple[Any, ...]
RECORDS = [
    table.name
    for table in tables().values()
    if table.schema == "CDM" and table.name not in IN_PLACE and "person_id" in table.column_names
]


@dataclass(frozen=True)
class Seen:
    """A release: its landed rows by table and number, and its records by table and person."""

    run: Run
    landed: dict[str, dict[int, Row]]
    columns: dict[str, list[str]]
    records: dict[str, dict[int, Counter[Row]]]


@dataclass
class StableIds:
    """Compares each release with the one before, and with all that was seen so far."""

    own: Hospital
    contract: land.Contract = field(default_factory=lambda: land.load_contract(settings(), "synthea"))
    persons: dict[str, int] = field(default_factory=dict)
    keys: dict[tuple[str, Row], int] = field(default_factory=dict)
    contents: dict[tuple[str, int], Row] = field(default_factory=dict)
    last: Seen | None = None
    compared: int = 0

    def look(self, run: Run) -> None:
        """Compare the release of this run, which is served now."""
        known = dict(self.own.query("SELECT person_key, person_id FROM etl.person"))
        assert {key: known[key] for key in self.persons} == self.persons
        self.persons = known
        seen = self._seen(run)
        if seen is None:
            self.last = None
            return
        for name, rows in seen.landed.items():
            self._assert_numbers_stay(name, rows, seen.columns[name])
        if self.last is not None:
            self._assert_records_stay(self.last, seen)
        self.last = seen

    def _seen(self, run: Run) -> Seen | None:
        """None where the files of a release are gone: one that a rollback serves again."""
        landed, columns = {}, {}
        state = kept_state(run)
        if state is None:
            return None
        for name, paths in state.items():
            read = pyarrow.parquet.read_table(paths).to_pylist() if paths else []
            columns[name] = [column.lower for column in self.contract.tables[name].columns]
            landed[name] = {row["source_row_id"]: tuple(row[column] for column in columns[name]) for row in read}
        records: dict[str, dict[int, Counter[Row]]] = {}
        for name in RECORDS:
            by_person: dict[int, Counter[Row]] = defaultdict(Counter)
            place = tables()[name].column_names.index("person_id")
            for row in self.own.query(f"SELECT * FROM cdm.{name}"):
                by_person[row[place]][row] += 1
            records[name] = by_person
        return Seen(run, landed, columns, records)

    def _assert_numbers_stay(self, name: str, rows: dict[int, Row], columns: Sequence[str]) -> None:
        """A key has one number for ever; without a key a number has one content for ever."""
        table = self.contract.tables[name]
        places = [columns.index(key.lower()) for key in table.key]
        for number, row in rows.items():
            if places:
                key = (name, tuple(row[place] for place in places))
                assert self.keys.setdefault(key, number) == number, f"another number of a row of {name}"
            else:
                assert self.contents.setdefault((name, number), row) == row, f"another row of {name} has a number"

    def _assert_records_stay(self, before: Seen, after: Seen) -> None:
        """Who has the same landed rows, in a hospital with the same places and words, has the same records."""
        others = [name for name, table in self.contract.tables.items() if table.person is None]
        if any(before.landed[name] != after.landed[name] for name in others):
            return
        told = [(run.vocabulary_id, run.cutoff_date) for run in (before.run, after.run)]
        if told[0] != told[1]:
            return
        merged = {key for name in others if self.contract.tables[name].merges for row in after.landed[name].values()
                  for key in row}  # fmt: skip
        mine = [self._by_person(seen) for seen in (before, after)]
        for key in set(mine[0]) & set(mine[1]) - merged:
            if mine[0][key] != mine[1][key] or key not in self.persons:
                continue
            number = self.persons[key]
            for name in RECORDS:
                assert before.records[name].get(number) == after.records[name].get(number), (name, number)
                self.compared += sum(after.records[name].get(number, Counter()).values())

    def _by_person(self, seen: Seen) -> dict[str, set[tuple[str, int, Row]]]:
        found: dict[str, set[tuple[str, int, Row]]] = defaultdict(set)
        for name, table in self.contract.tables.items():
            if table.person is not None:
                place = seen.columns[name].index(table.person.lower())
                for number, row in seen.landed[name].items():
                    found[row[place]].add((name, number, row))
        return found
