"""The 18 files: columns in, lines out, rows counted."""

import io
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO

import pyarrow as pa
import pyarrow.csv as pa_csv

from etl.demo import faults
from etl.demo.columns import Text

FILES = (
    "allergies",
    "careplans",
    "claims",
    "claims_transactions",
    "conditions",
    "devices",
    "encounters",
    "imaging_studies",
    "immunizations",
    "medications",
    "observations",
    "organizations",
    "patients",
    "payer_transitions",
    "payers",
    "procedures",
    "providers",
    "supplies",
)


class HospitalFiles:
    """All files of a hospital, open for appending; nothing holds commas or quotes, so nothing is quoted."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.rows = dict.fromkeys(FILES, 0)
        self.headers: dict[str, str] = {}
        self._streams: dict[str, IO[bytes]] = {name: (folder / f"{name}.csv").open("wb") for name in FILES}

    def __enter__(self) -> "HospitalFiles":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in self._streams.values():
            stream.close()

    def append(self, name: str, columns: Mapping[str, Text]) -> None:
        """Write rows; the first call for a file writes its header."""
        stream = self._streams[name]
        if name not in self.headers:
            self.headers[name] = ",".join(columns)
            stream.write(self.headers[name].encode() + b"\n")
        table = pa.table(dict(columns))
        self.rows[name] += table.num_rows
        pa_csv.write_csv(table, stream, _options())

    def append_faults(self, name: str, columns: Mapping[str, Text], times: int) -> dict[str, int]:
        """Write broken copies of this chunk's first rows; how many of each kind."""
        kinds = len(faults.FAULTS_BY_FILE.get(name, ()))
        if not kinds or not times:
            return {}
        text = io.BytesIO()
        pa_csv.write_csv(pa.table(dict(columns)).slice(0, kinds * times), text, _options())
        lines = text.getvalue().decode().splitlines()
        made = faults.faulty_lines(name, lines, self.headers[name], times)
        for broken in made.values():
            self._streams[name].write("".join(line + "\n" for line in broken).encode())
            self.rows[name] += len(broken)
        return {kind: len(broken) for kind, broken in made.items() if broken}


def _options() -> pa_csv.WriteOptions:
    return pa_csv.WriteOptions(include_header=False, quoting_style="none")
