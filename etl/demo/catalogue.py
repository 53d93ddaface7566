"""What the demo hospital treats, orders and records: the CSV files of `codes/` as arrays."""

import csv
from dataclasses import dataclass
from functools import cache

import numpy as np

from etl.demo.columns import Floats, Ints
from etl.demo.places import CODES


@cache
def rows(name: str) -> tuple[dict[str, str], ...]:
    """The rows of `codes/<name>.csv`."""
    with (CODES / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def column(name: str, key: str) -> list[str]:
    return [row[key] for row in rows(name)]


def numbers(name: str, key: str) -> Floats:
    """A numeric column; an empty cell is 0."""
    return np.array([float(row[key] or 0) for row in rows(name)])


def cents(name: str, key: str = "cost_usd") -> Ints:
    """A column of dollars as cents."""
    return np.round(numbers(name, key) * 100).astype(np.int64)


def position(name: str, code: str) -> int:
    """Where a code stands in a catalogue, -1 for no code."""
    return column(name, "code").index(code) if code else -1


def of_kind(kind: str) -> tuple[dict[str, str], ...]:
    """The rows of others.csv of one kind: device, careplan, supply, allergy, reaction, imaging, death."""
    return tuple(row for row in rows("others") if row["kind"] == kind)


@dataclass(frozen=True)
class Panel:
    """Observations recorded together: their rows in observations.csv."""

    items: Ints


@cache
def panels() -> dict[str, Panel]:
    found: dict[str, list[int]] = {}
    for index, row in enumerate(rows("observations")):
        found.setdefault(row["panel"], []).append(index)
    return {name: Panel(np.array(items, dtype=np.int64)) for name, items in found.items()}


@cache
def setting_of_class() -> dict[str, Ints]:
    """Encounter kinds (rows of encounters.csv) by class."""
    found: dict[str, list[int]] = {}
    for index, row in enumerate(rows("encounters")):
        found.setdefault(row["class"], []).append(index)
    return {name: np.array(items, dtype=np.int64) for name, items in found.items()}
