"""Rows that are wrong on purpose: a real export is never clean."""

from collections.abc import Callable

# Synthetic patient that no patients.csv names.
UNKNOWN_PATIENT = "00000000-0000-4000-8000-000000000000"
IMPOSSIBLE_DATE = "2023-02-30"
# Below this many patients every file is clean: one bad row among a few hundred would already be too many.
FEWEST_PATIENTS = 100
PATIENTS_PER_FAULT = 2000


def _too_few_fields(row: list[str], header: list[str]) -> list[str]:
    return row[: len(header) - 2]


def _impossible_date(row: list[str], header: list[str]) -> list[str]:
    when = header.index("DATE" if "DATE" in header else "START")
    return [*row[:when], IMPOSSIBLE_DATE + row[when][10:], *row[when + 1 :]]


def _patient_unknown(row: list[str], header: list[str]) -> list[str]:
    who = header.index("PATIENT")
    return [*row[:who], UNKNOWN_PATIENT, *row[who + 1 :]]


def _duplicate_key(row: list[str], header: list[str]) -> list[str]:
    return row


FAULTS: dict[str, Callable[[list[str], list[str]], list[str]]] = {
    "too_few_fields": _too_few_fields,
    "impossible_date": _impossible_date,
    "patient_unknown": _patient_unknown,
    "duplicate_key": _duplicate_key,
}
FAULTS_BY_FILE = {
    "conditions": ("too_few_fields", "impossible_date", "patient_unknown"),
    "observations": ("too_few_fields", "impossible_date", "patient_unknown"),
    "medications": ("too_few_fields",),
    "procedures": ("patient_unknown",),
    "encounters": ("duplicate_key",),
}


def repeats(patients: int) -> int:
    """How often each fault comes."""
    return 0 if patients < FEWEST_PATIENTS else max(1, patients // PATIENTS_PER_FAULT)


def faulty_lines(file: str, lines: list[str], header: str, times: int) -> dict[str, list[str]]:
    """Broken copies of good lines by kind of fault. `lines` are at least as many good ones as faults are asked for."""
    columns = header.split(",")
    made: dict[str, list[str]] = {}
    for number, kind in enumerate(FAULTS_BY_FILE.get(file, ())):
        own = lines[number * times : (number + 1) * times]
        made[kind] = [",".join(FAULTS[kind](line.split(","), columns)) for line in own]
    return made
