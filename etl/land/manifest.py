"""A delivery's own list of its files, `manifest.csv`: what it names must be there, whole, and nothing else.

    name,bytes,sha256
    patients.csv,18234,9f86d081884c7d65…

`sha256` may be left out, as a column or in single lines. A folder without the file is taken as it is.
"""

import csv
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from etl.errors import ContractError

MANIFEST = "manifest.csv"
# Twice the 18 files of Synthea in a hundred parts each; more is not a list of files.
MOST_LINES = 5_000
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Promised:
    """A file as the manifest has it; `sha256` is that of its bytes, '' where none is given."""

    name: str
    size: int
    sha256: str


def check_manifest(folder: Path, delivered: Iterable[Path]) -> bool:
    """Compare the files that are about to be landed with the folder's manifest; False when it has none.

    ContractError names every file that is missing, not named, of another size or of another content. Nothing was loaded
    then. Hashing reads every byte once: 1.5 GB in 3 s.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return False
    promised = {entry.name: entry for entry in read_manifest(path)}
    present = {file.name: file for file in delivered}
    faults = [f"{name} is not named in it" for name in sorted(present.keys() - promised.keys())]
    for name, entry in promised.items():
        file = folder / name
        if not file.is_file():
            faults.append(f"{name} is missing")
        elif (size := file.stat().st_size) != entry.size:
            faults.append(f"{name} has {size:,} bytes instead of {entry.size:,}")
        elif entry.sha256 and _sha256(file) != entry.sha256:
            faults.append(f"{name} has another content than was promised")
    if faults:
        raise _refused(path, "; ".join(faults))
    return True


def read_manifest(path: Path) -> list[Promised]:
    """The manifest's lines; ContractError with the line's number where one is not as described above."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            if not {"name", "bytes"} <= set(reader.fieldnames or ()) <= {"name", "bytes", "sha256"}:
                raise _refused(path, "its header is not name,bytes,sha256")
            entries = [_entry(path, reader.line_num, record) for record in _at_most(path, reader)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise _refused(path, "it is not a CSV file in UTF-8") from error
    if not entries:
        raise _refused(path, "it names no file")
    names = [entry.name for entry in entries]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise _refused(path, f"it names {', '.join(twice)} twice")
    return entries


def _at_most(path: Path, reader: Iterable[dict[str, str]]) -> Iterable[dict[str, str]]:
    for number, record in enumerate(reader, 1):
        if number > MOST_LINES:
            raise _refused(path, f"it has more than {MOST_LINES:,} lines")
        yield record


def _entry(path: Path, line: int, record: dict[str, str]) -> Promised:
    name, size, sha256 = record["name"] or "", record["bytes"] or "", (record.get("sha256") or "").lower()
    if None in record or not name or Path(name).name != name or name in (".", ".."):
        raise _refused(path, f"line {line} needs the name of a file in this folder")
    if not re.fullmatch(r"[0-9]{1,15}", size):
        raise _refused(path, f"line {line} needs a number of bytes")
    if sha256 and not SHA256.fullmatch(sha256):
        raise _refused(path, f"line {line} has a sha256 that is not 64 hexadecimal digits")
    return Promised(name, int(size), sha256)


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _refused(path: Path, what: str) -> ContractError:
    return ContractError(
        f"The delivery {path.parent} is not what its {path.name} says: {what}.",
        state="Nothing of it was loaded; the published release stays as it is.",
        todo="Deliver the folder again, whole, or correct its manifest.",
    )
