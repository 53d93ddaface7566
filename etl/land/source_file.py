"""A CSV file on its way in: unpacked, transcoded, hashed, checked byte by byte; no value is looked at here."""

import codecs
import csv
import gzip
import hashlib
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from etl.errors import ContractError
from etl.land.contract import Contract, SourceTable
from etl.land.lines import Part

CHUNK_BYTES = 1 << 22
HEADER_BYTES = 1 << 20
MAX_UNPACKED_BYTES = 200 << 30  # a small gzip may unpack to anything
NOTHING_LOADED = "Nothing of this batch was loaded; the published release stays as it is."


@dataclass(frozen=True)
class Header:
    """Where a file's contract columns stand: `positions` by lower-case name, without the optional ones it lacks."""

    fields: int
    positions: dict[str, int]
    ignored: tuple[str, ...]


@dataclass(frozen=True)
class Prepared:
    """A file, or the parts of one, as UTF-8 on disk. `content_hash` is of the unpacked bytes as they came.

    `records` counts line ends outside quotes, without the header: an independent count, exact for a file without
    blank lines whose quotes are sound. `plain` says that no line ending or character needs cleaning before reading.
    """

    path: Path
    content_hash: str
    unpacked_bytes: int
    lines: int
    records: int
    has_quotes: bool
    plain: bool
    parts: tuple[Part, ...]


def read_header(contract: Contract, table: SourceTable, path: Path) -> Header:
    """The header of a file, matched with the contract; ContractError says which columns are missing."""
    names = header_names(path, table.encoding)
    lowered = [name.lower() for name in names]
    positions: dict[str, int] = {}
    missing: list[str] = []
    for column in table.columns:
        spelling = next((s.lower() for s in (column.name, *column.aliases) if s.lower() in lowered), None)
        if spelling is None:
            if not column.optional:
                missing.append(" or ".join((column.name, *column.aliases)))
            continue
        if lowered.count(spelling) > 1:
            raise ContractError(
                f"{path.name} has the column {column.name} {lowered.count(spelling)} times.",
                state=NOTHING_LOADED,
                todo="Drop a new file with one column of that name.",
            )
        positions[column.lower] = lowered.index(spelling)
    if missing:
        raise ContractError(
            f"{path.name} has no column {', '.join(missing)} (it has: {_shortened(names)}).",
            state=NOTHING_LOADED,
            todo=f"If the export changed, adapt {contract.path}; if the file is wrong, drop a new one.",
        )
    used = set(positions.values())
    ignored = tuple(n for i, n in enumerate(names) if i not in used and n.lower() not in table.pii)
    return Header(fields=len(names), positions=positions, ignored=ignored)


def _shortened(names: list[str], limit: int = 40) -> str:
    """Column names for a message; a file without a header would show values here, so only name-like ones are shown."""
    shown = [
        name if name.replace("_", "").replace(" ", "").isalnum() and not name[:1].isdigit() else "…" for name in names
    ]
    if "…" in shown:
        return f"{len(names)} columns, not all of them with a name; is the first line the header?"
    return ", ".join(shown[:limit]) + (f" and {len(shown) - limit} more" if len(shown) > limit else "")


def header_names(path: Path, encoding: str) -> list[str]:
    start = b""
    for chunk in chunks(path):
        start += chunk[:HEADER_BYTES]
        if len(start) >= HEADER_BYTES:
            break
    if not start:
        raise ContractError(
            f"{path.name} is empty: it has not even a header.",
            state=NOTHING_LOADED,
            todo="Drop the complete file, or remove it if the table has no data.",
        )
    text = codecs.getincrementaldecoder(encoding)(errors="replace").decode(start).removeprefix("\ufeff")
    line = text.splitlines()[0] if text else ""
    if not line.strip():
        raise ContractError(f"The first line of {path.name} is blank; it must be the header.", state=NOTHING_LOADED)
    return [name.strip() for name in next(csv.reader([line]))]


def prepare(path: Path, encoding: str, spool: Path) -> Prepared:
    """Read every byte once: hash, check and count; a gzip or another encoding is written to `spool` as UTF-8.

    ContractError: a truncated or damaged gzip, bytes that the declared encoding does not know (with the line), an
    unpacked size beyond the cap, or line ends that are all carriage returns.
    """
    packed = path.name.lower().endswith(".gz")
    is_utf8 = codecs.lookup(encoding).name in ("utf-8", "utf-8-sig", "ascii")
    checker = Checker(path.name, encoding, is_utf8)
    if packed or not is_utf8:
        with spool.open("wb") as out:
            out.writelines(checker.texts(path))
    else:
        deque(checker.texts(path), maxlen=0)
    return Prepared(
        path=spool if packed or not is_utf8 else path,
        content_hash=checker.digest.hexdigest(),
        unpacked_bytes=checker.bytes,
        lines=checker.lines,
        records=checker.records,
        has_quotes=checker.has_quotes,
        plain=checker.plain,
        parts=(Part(path.name, 2),),
    )


class Checker:
    """Running state over the chunks of one file."""

    def __init__(self, name: str, encoding: str, is_utf8: bool) -> None:
        self.name, self.encoding, self.is_utf8 = name, encoding, is_utf8
        self.decoder = codecs.getincrementaldecoder("utf-8" if is_utf8 else encoding)(errors="strict")
        self.digest = hashlib.sha256()
        self.bytes = self.newlines = self.returns = self.pairs = self.lines_outside_quotes = 0
        self.in_quotes = self.has_quotes = self.has_nul = False
        self.last = b""

    @property
    def ends_with_newline(self) -> bool:
        return self.last == b"\n"

    @property
    def lines(self) -> int:
        return self.newlines + (0 if self.ends_with_newline else 1)

    @property
    def records(self) -> int:
        return max(self.lines_outside_quotes + (0 if self.ends_with_newline else 1) - 1, 0)

    @property
    def plain(self) -> bool:
        return not self.has_nul and self.returns in (0, self.newlines) and self.returns == self.pairs

    def texts(self, path: Path) -> Iterator[bytes]:
        """The file's text as UTF-8 in pieces, each counted when it is given."""
        for chunk in chunks(path):
            yield self.feed(chunk)
        yield self.end()
        if self.newlines == 0 and self.returns > 0:
            raise ContractError(
                f"The lines of {self.name} end with a carriage return alone.",
                state=NOTHING_LOADED,
                todo="Drop the file with line feeds (or carriage return and line feed) as line ends.",
            )

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk as it came; give it as UTF-8."""
        self.digest.update(chunk)
        self.bytes += len(chunk)
        text = self._as_utf8(chunk)
        self._count(text)
        return text

    def end(self) -> bytes:
        text = self._decode(b"", final=True)
        rest = b"" if self.is_utf8 else text.encode("utf-8")
        self._count(rest)
        return rest

    def _as_utf8(self, chunk: bytes) -> bytes:
        if not self.is_utf8:
            return self._decode(chunk).encode("utf-8")
        if not (chunk.isascii() and self.decoder.getstate()[0] == b""):
            self._decode(chunk)
        return chunk

    def _decode(self, chunk: bytes, final: bool = False) -> str:
        try:
            return self.decoder.decode(chunk, final)
        except UnicodeDecodeError as error:
            before = error.object[: error.start].decode(self.encoding, errors="ignore").count("\n")
            line = self.newlines + before + 1
            raise ContractError(
                f"{self.name}, line {line}: these bytes are not {self.encoding}.",
                state=NOTHING_LOADED,
                todo="Declare the file's encoding in tables.yml, or drop a file in the declared one.",
            ) from None

    def _count(self, text: bytes) -> None:
        if not text:
            return
        newlines = text.count(b"\n")
        self.newlines += newlines
        if b"\r" in text or self.last == b"\r":
            self.returns += text.count(b"\r")
            self.pairs += text.count(b"\r\n") + (self.last == b"\r" and text[:1] == b"\n")
        self.has_nul = self.has_nul or b"\0" in text
        if b'"' in text:
            self.has_quotes = True
            pieces = text.split(b'"')
            outside = pieces[1::2] if self.in_quotes else pieces[0::2]
            self.lines_outside_quotes += sum(piece.count(b"\n") for piece in outside)
            self.in_quotes ^= len(pieces) % 2 == 0
        elif not self.in_quotes:
            self.lines_outside_quotes += newlines
        self.last = text[-1:]


def chunks(path: Path) -> Iterator[bytes]:
    """The unpacked bytes of a file in pieces."""
    read = 0
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                read += len(chunk)
                if read > MAX_UNPACKED_BYTES:
                    raise ContractError(
                        f"{path.name} unpacks to more than {MAX_UNPACKED_BYTES >> 30} GiB.", state=NOTHING_LOADED
                    )
                yield chunk
    except EOFError:
        raise ContractError(
            f"{path.name} is a truncated gzip: it ends after {read} unpacked bytes, before its end mark.",
            state=NOTHING_LOADED,
            todo="Copy the file again and compare its size with the original's.",
        ) from None
    except (gzip.BadGzipFile, zlib.error):
        raise ContractError(
            f"{path.name} is not a sound gzip (damaged after {read} unpacked bytes).",
            state=NOTHING_LOADED,
            todo="Copy the file again; if it is not compressed, remove .gz from its name.",
        ) from None
