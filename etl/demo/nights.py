"""Nights after the demo's first load: what changed, as the files that a hospital would drop. The same every time."""

from collections.abc import Callable, Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

SEEN_OF_A_NIGHT = 100  # of so many patients one comes
LATE_DAYS = 60

Line = dict[str, str]


def write_normal_night(hospital: Path, folder: Path, patients: int) -> int:
    """Drop a day's visits into `folder`: one patient in a hundred, each with a diagnosis and a measurement."""
    last = max(line["START"][:10] for line in _lines(hospital / "encounters.csv"))
    today = str(date.fromisoformat(last) + timedelta(days=1))
    diagnosed = _first_of_each(hospital / "conditions.csv", max(1, patients // SEEN_OF_A_NIGHT))
    measured = _first_of_each(hospital / "observations.csv", None)
    visits = _first_of_each(hospital / "encounters.csv", None)
    ids = {patient: str(uuid5(NAMESPACE_URL, f"cdmflow/demo/{today}/{patient}")) for patient in diagnosed}
    new = {
        "encounters": [
            visits[patient] | {"Id": number, "START": f"{today}T09:00:00Z", "STOP": f"{today}T09:20:00Z"}
            for patient, number in ids.items()
        ],
        "conditions": [
            diagnosed[patient] | {"START": today, "STOP": "", "ENCOUNTER": number} for patient, number in ids.items()
        ],
        "observations": [
            measured[patient] | {"DATE": f"{today}T09:10:00Z", "ENCOUNTER": number}
            for patient, number in ids.items()
            if patient in measured
        ],
    }
    for table, lines in new.items():
        _write(hospital / f"{table}.csv", folder / f"{table}.csv", lambda line: line, lines)
    return len(ids)


def write_night_of_changes(before: Iterable[Path], folder: Path) -> None:
    """Drop a corrected visit, a deleted prescription and a result that comes two months late.

    `before` are the folders delivered so far, newest first: a table's file is the newest of them.
    """
    folders = list(before)

    def newest(table: str) -> Path:
        return next(each / f"{table}.csv" for each in folders if (each / f"{table}.csv").exists())

    *_, planned = (line for line in _lines(newest("encounters")) if line["ENCOUNTERCLASS"] == "ambulatory")
    correction = {"ENCOUNTERCLASS": "emergency"}
    _write(newest("encounters"), folder / "encounters.csv", lambda row: row | correction if row == planned else row)
    deleted = next(_lines(newest("medications")))
    _write(newest("medications"), folder / "medications.csv", lambda row: None if row == deleted else row)
    result = next(_lines(newest("observations")))
    day = date.fromisoformat(max(line["DATE"][:10] for line in _lines(newest("observations")))) - timedelta(LATE_DAYS)
    late = result | {"DATE": f"{day}T11:00:00Z", "ENCOUNTER": ""}
    _write(newest("observations"), folder / "observations.csv", lambda line: line, [late])


def _first_of_each(file: Path, most: int | None) -> dict[str, Line]:
    """The first row of each patient, of at most so many patients."""
    found: dict[str, Line] = {}
    for line in _lines(file):
        if line["PATIENT"] not in found:
            if len(found) == most:
                break
            found[line["PATIENT"]] = line
    return found


def _lines(file: Path) -> Iterator[Line]:
    """The sound rows of a file; the demo's hold no quotes."""
    with file.open(encoding="utf-8") as lines:
        names = next(lines).rstrip("\n").split(",")
        for text in lines:
            values = text.rstrip("\n").split(",")
            if len(values) == len(names):
                yield dict(zip(names, values, strict=True))


def _write(source: Path, output: Path, changed: Callable[[Line], Line | None], added: Iterable[Line] = ()) -> None:
    """The whole file as it is now, as a snapshot is delivered: rows changed or (None) left out, others added."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with source.open(encoding="utf-8") as lines, output.open("w", encoding="utf-8") as file:
        header = next(lines)
        file.write(header)
        names = header.rstrip("\n").split(",")
        for text in lines:
            values = text.rstrip("\n").split(",")
            if len(values) != len(names):
                file.write(text)  # broken on purpose
                continue
            line = changed(dict(zip(names, values, strict=True)))
            if line is not None:
                file.write(",".join(line.values()) + "\n")
        file.writelines(",".join(line.values()) + "\n" for line in added)
