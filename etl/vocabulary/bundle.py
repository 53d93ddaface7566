"""An Athena bundle as it lies on disk: which of its nine files are there, in a folder or a zip, plain or gzipped."""

import gzip
import hashlib
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from etl.errors import ContractError

# Loading order: concepts first, what refers to them after.
BUNDLE_TABLES = (
    "concept",
    "concept_relationship",
    "concept_ancestor",
    "concept_synonym",
    "drug_strength",
    "vocabulary",
    "domain",
    "concept_class",
    "relationship",
)
REQUIRED_TABLES = ("concept", "concept_relationship")
BOM = b"\xef\xbb\xbf"
CHUNK_BYTES = 1 << 22
# A full Athena bundle with every vocabulary is about 12 GB; a zip that claims more is refused unread.
MAX_ZIP_BYTES = 64 << 30
NOTHING_LOADED = "Nothing of this bundle was loaded; the vocabulary in use stays as it was."


@dataclass(frozen=True)
class BundleFile:
    """One readable file. `header` is its columns in lower case and file order; `is_mixed` says that its lines do
    not all end alike; `sha256` is of the content as it is when unpacked."""

    table: str
    path: Path
    header: tuple[str, ...]
    is_mixed: bool
    sha256: str


def unpack(source: Path, scratch: Path) -> Path:
    """The folder with the bundle's files: `source` itself, or the scratch folder that a zip was unpacked to."""
    if source.is_dir():
        return source
    if not source.is_file():
        raise ContractError(
            f"There is no vocabulary bundle at {source.name}: neither a folder nor a zip file.",
            state=NOTHING_LOADED,
            todo="Give the folder of an unpacked Athena download, or the zip itself.",
        )
    scratch.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(source) as archive:
            _extract(archive, source.name, scratch)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, RuntimeError, NotImplementedError, EOFError) as error:
        raise ContractError(
            f"{source.name} is not a readable zip file ({type(error).__name__}).",
            state=NOTHING_LOADED,
            todo="Download the bundle again, or unpack it and give the folder.",
        ) from None
    return scratch


def _extract(archive: zipfile.ZipFile, name: str, scratch: Path) -> None:
    """Write the wanted members under their bare names, so that no member can leave the scratch folder."""
    members = [(member, Path(member.filename).name) for member in archive.infolist() if not member.is_dir()]
    wanted = [(member, bare) for member, bare in members if table_of(bare)]
    total_bytes = sum(member.file_size for member, _ in wanted)
    if total_bytes > MAX_ZIP_BYTES:
        raise ContractError(
            f"{name} would unpack to {total_bytes / (1 << 30):,.0f} GiB; the limit is {MAX_ZIP_BYTES >> 30} GiB.",
            state=NOTHING_LOADED,
            todo="If the bundle really is so large, unpack it and give the folder.",
        )
    for member, bare in wanted:
        target = scratch / bare
        if target.exists():
            raise ContractError(f"{name} holds {bare} twice.", state=NOTHING_LOADED, todo="Keep one of them.")
        with archive.open(member) as packed, target.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked, CHUNK_BYTES)


def table_of(file_name: str) -> str | None:
    """The bundle table that a file holds: `CONCEPT.csv`, `concept.csv.gz` → concept; None for any other file."""
    stem = file_name.lower().removesuffix(".gz")
    table = stem.removesuffix(".csv")
    return table if stem.endswith(".csv") and table in BUNDLE_TABLES else None


def find_files(folder: Path, columns: Mapping[str, tuple[str, ...]]) -> dict[str, BundleFile]:
    """The bundle's files by table. `columns` are the names that each table's file must have, in any order.

    Errors: a required file or a column is missing, a table comes twice, a gzip is broken, the text is not UTF-8.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        table = table_of(path.name) if path.is_file() else None
        if table is None:
            continue
        if table in found:
            raise ContractError(
                f"The bundle holds {table} twice: {found[table].name} and {path.name}.",
                state=NOTHING_LOADED,
                todo="Remove one of the two.",
            )
        found[table] = path
    for table in REQUIRED_TABLES:
        if table not in found:
            raise ContractError(
                f"The vocabulary bundle in {folder.name} has no {table.upper()}.csv"
                f" (it has: {', '.join(path.name for path in found.values()) or 'none of the nine files'}).",
                state=NOTHING_LOADED,
                todo="Without it nothing can be mapped: unpack the whole Athena download and give its folder.",
            )
    return {table: inspect(table, path, columns[table]) for table, path in found.items()}


def inspect(table: str, path: Path, columns: tuple[str, ...]) -> BundleFile:
    """Read a file once: its header, its line ends, its hash."""
    digest = hashlib.sha256()
    line_feeds = pairs = returns = 0
    start = last = b""
    try:
        with open_bytes(path) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                digest.update(chunk)
                line_feeds += chunk.count(b"\n")
                returns += chunk.count(b"\r")
                pairs += chunk.count(b"\r\n") + (last == b"\r" and chunk[:1] == b"\n")
                start, last = start or chunk, chunk[-1:]
    except (gzip.BadGzipFile, EOFError, OSError) as error:
        raise ContractError(
            f"{path.name} cannot be read to its end ({type(error).__name__}).",
            state=NOTHING_LOADED,
            todo="The file is damaged or cut off: copy it again.",
        ) from None
    return BundleFile(
        table=table,
        path=path,
        header=_header(start, path.name, columns),
        is_mixed=0 < pairs < line_feeds or returns > pairs,
        sha256=digest.hexdigest(),
    )


def open_bytes(path: Path) -> IO[bytes] | gzip.GzipFile:
    """The unpacked bytes of a plain or gzipped file."""
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rb")
    return path.open("rb")


def _header(start: bytes, name: str, columns: tuple[str, ...]) -> tuple[str, ...]:
    first_line = start.removeprefix(BOM).split(b"\n", 1)[0].rstrip(b"\r")
    header = tuple(part.strip().lower() for part in first_line.decode("utf-8", errors="replace").split("\t"))
    missing = [column for column in columns if column not in header]
    if missing:
        raise ContractError(
            f"{name}, line 1: column {', '.join(missing)} is missing (it has: {', '.join(header)}).",
            state=NOTHING_LOADED,
            todo="Athena's files are tab-separated with a header line; check that the file was not re-saved.",
        )
    if len(set(header)) < len(header):
        raise ContractError(
            f"{name}, line 1: a column comes twice.", state=NOTHING_LOADED, todo="Check that the file was not re-saved."
        )
    return header


def content_hash(files: Mapping[str, BundleFile], addition: bytes) -> str:
    """One hash over all files and `addition`; names, folder and packing do not matter."""
    digest = hashlib.sha256(addition)
    for table in sorted(files):
        digest.update(f"{table}:{files[table].sha256};".encode())
    return digest.hexdigest()
