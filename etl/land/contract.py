"""`sources/<name>/tables.yml`: what every table of a source looks like, checked when it is read."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from zoneinfo import available_timezones

import yaml

from etl.errors import ContractError
from etl.yaml_text import read_yaml

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
FILE_STEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
DECIMAL = re.compile(r"decimal\((\d{1,2}),(\d{1,2})\)")
SQL_TYPES = {"text": "text", "integer": "bigint", "date": "date", "timestamp": "timestamp"}
WHOLE_ROW = "whole row"
ROW_ID = "source_row_id"

# Part of every contract hash: raise it when the same file and contract land otherwise than before.
LANDING_RULES = 1

OBSERVATION_PERIODS = ("ehr", "encounters", "enrolment")
SAME_DAY_OUTPATIENT = ("separate", "merge")

TOP_KEYS = {"source", "encoding", "time_zone", "reject_limit", "business_dates", "conventions", "tables"}
CONVENTION_KEYS = {"observation_period", "same_day_outpatient"}
RELATION = re.compile(r"[A-Za-z_][A-Za-z0-9_$#]*(\.[A-Za-z_][A-Za-z0-9_$#]*)?")
TABLE_KEYS = {
    "relation",
    "file",
    "required",
    "key",
    "person",
    "merges",
    "change",
    "encoding",
    "business_date",
    "pii",
    "columns",
}
COLUMN_KEYS = {"type", "required", "optional", "aliases", "references"}


@dataclass(frozen=True)
class SourceColumn:
    """A landed column: `name` as in the file, `type` of the contract, `sql_type` in PostgreSQL's spelling.

    `references` is the table whose key it holds, where a source model joins by it without the person.
    """

    name: str
    type: str
    required: bool
    optional: bool
    aliases: tuple[str, ...]
    references: str | None = None

    @property
    def lower(self) -> str:
        return self.name.lower()

    @property
    def sql_type(self) -> str:
        return SQL_TYPES.get(self.type, self.type)


@dataclass(frozen=True)
class SourceTable:
    """A table of a source. `key` is empty for "whole row"; key, person and business date are lower-case names.

    `change` is snapshot, append or watermark; `watermark` is the column that says which version of a key is the newest,
    where the mode is that. `merges` are the columns with a merged person's old key and the surviving one. `relation` is
    the table or view in a source database, with its schema, where that has another name. `time_zone` is the site's,
    which zoned times are converted to; None also where no column is a timestamp.
    """

    name: str
    file: str
    required: bool
    key: tuple[str, ...]
    person: str | None
    change: str
    encoding: str
    business_date: str | None
    pii: frozenset[str]
    columns: tuple[SourceColumn, ...]
    time_zone: str | None = None
    watermark: str | None = None
    merges: tuple[str, str] | None = None
    relation: str | None = None

    @property
    def contract_hash(self) -> str:
        """Changes with everything that changes what a file lands as, and with nothing else."""
        told = {
            "rules": LANDING_RULES,
            "key": self.key,
            "encoding": self.encoding,
            "business_date": self.business_date,
            "columns": [(c.name, c.type, c.required, c.optional, c.aliases) for c in self.columns],
        }
        if self.has_times:
            told["time_zone"] = self.time_zone
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    @property
    def has_times(self) -> bool:
        return any(column.type == "timestamp" for column in self.columns)


@dataclass(frozen=True)
class Contract:
    """All tables of a source, in the order of the file; the limits hold for each batch.

    `time_zone` is the site's: zoned times are converted to it, and refused without it. `observation_period` and
    `same_day_outpatient` are the conventions that sites choose (docs/conventions.md).
    """

    source: str
    path: str
    tables: Mapping[str, SourceTable]
    reject_share: float
    reject_rows: int
    business_dates: tuple[date, date]
    time_zone: str | None
    observation_period: str
    same_day_outpatient: str

    def allowed_rejects(self, received_rows: int) -> int:
        """Rows of a batch that may be rejected: a share of it, or a few rows, but never more than half of it."""
        return int(max(self.reject_share * received_rows, min(self.reject_rows, received_rows // 2)))


def read_contract(path: Path, shown: str) -> Contract:
    """Read and check a `tables.yml`; `shown` is its path in messages. ContractError names table and column."""
    try:
        content = read_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ContractError(
            f"There is no contract {shown}.",
            state="Nothing was loaded.",
            todo="Check the source's name, or write its tables.yml (sources/synthea/tables.yml is an example).",
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise ContractError(f"{shown}{where} is not valid YAML.", state="Nothing was loaded.") from None
    reader = _Reader(shown)
    return reader.contract(content)


class _Reader:
    """Turns the YAML into the dataclasses; holds only the file's name, for messages."""

    def __init__(self, shown: str) -> None:
        self.shown = shown

    def wrong(self, what: str) -> ContractError:
        return ContractError(f"{self.shown}: {what}", state="Nothing was loaded.", todo="Correct the contract.")

    def mapping(self, value: object, where: str, keys: set[str] | None = None) -> dict[str, object]:
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise self.wrong(f"{where} must be a mapping of names.")
        unknown = sorted(set(value) - keys) if keys is not None else []
        if unknown:
            raise self.wrong(f"{where} has {', '.join(unknown)}, which is not one of {', '.join(sorted(keys or ()))}.")
        return value

    def names(self, value: object, where: str) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(v, str) and NAME.fullmatch(v) for v in value):
            raise self.wrong(f"{where} must be a list of column names.")
        return tuple(value)

    def encoding(self, value: object, where: str) -> str:
        try:
            b"x".decode(str(value), errors="ignore")
        except (LookupError, ValueError):
            raise self.wrong(
                f"{where} has the unknown encoding {value} (utf-8, cp949 and latin-1 are examples)."
            ) from None
        return str(value)

    def contract(self, content: object) -> Contract:
        top = self.mapping(content, "the file", TOP_KEYS)
        source = top.get("source")
        if not isinstance(source, str) or not NAME.fullmatch(source):
            raise self.wrong("source must be a name of letters, digits and underscores.")
        limit = self.mapping(top.get("reject_limit", {}), "reject_limit", {"share", "rows"})
        share, rows = limit.get("share", 0.02), limit.get("rows", 20)
        if not isinstance(share, int | float) or not 0 <= share <= 1 or not isinstance(rows, int) or rows < 0:
            raise self.wrong("reject_limit needs a share between 0 and 1 and a number of rows.")
        bounds = self.mapping(top.get("business_dates", {}), "business_dates", {"from", "to"})
        first, last = bounds.get("from", date(1900, 1, 1)), bounds.get("to", date(2099, 12, 31))
        if not isinstance(first, date) or not isinstance(last, date):
            raise self.wrong("business_dates needs two dates, from and to.")
        encoding = self.encoding(top.get("encoding", "utf-8"), "the file")
        time_zone = self.time_zone(top.get("time_zone"))
        conventions = self.mapping(top.get("conventions", {}), "conventions", CONVENTION_KEYS)
        tables = self.mapping(top.get("tables"), "tables")
        if not tables:
            raise self.wrong("tables is empty.")
        read = {name: self.table(name, value, encoding, time_zone) for name, value in tables.items()}
        for table in read.values():
            self.check_references(table, read)
        return Contract(
            source=source,
            path=self.shown,
            tables=read,
            reject_share=float(share),
            reject_rows=rows,
            business_dates=(first, last),
            time_zone=time_zone,
            observation_period=self.choice(conventions, "observation_period", OBSERVATION_PERIODS),
            same_day_outpatient=self.choice(conventions, "same_day_outpatient", SAME_DAY_OUTPATIENT),
        )

    def time_zone(self, value: object) -> str | None:
        if value is None:
            return None
        if str(value) not in available_timezones() - {"localtime"}:  # the machine's own zone is nobody's
            raise self.wrong(f"time_zone is {value}, which is no zone of the IANA database (Asia/Seoul, UTC).")
        return str(value)

    def choice(self, given: Mapping[str, object], name: str, choices: tuple[str, ...]) -> str:
        value = given.get(name, choices[0])
        if value not in choices:
            raise self.wrong(f"conventions.{name} is {value}, which is not one of {', '.join(choices)}.")
        return str(value)

    def table(self, name: str, value: object, encoding: str, time_zone: str | None) -> SourceTable:
        if not NAME.fullmatch(name) or name != name.lower():
            raise self.wrong(f"the table name {name} must be lower-case letters, digits and underscores.")
        given = self.mapping(value, name, TABLE_KEYS)
        fields = self.mapping(given.get("columns"), f"{name}.columns")
        columns = tuple(self.column(name, column, options) for column, options in fields.items())
        pii = frozenset(column.lower() for column in self.names(given.get("pii", []), f"{name}.pii"))
        self.check_names(name, columns, pii)
        stem = given.get("file", name)
        if not isinstance(stem, str) or not FILE_STEM.fullmatch(stem):
            raise self.wrong(f"{name}.file must be a file name without folder and ending.")
        known = {column.lower: column for column in columns}
        key = self.key(name, given.get("key"), known)
        change, watermark = self.change(name, given.get("change"), known, key)
        return SourceTable(
            name=name,
            file=stem,
            required=given.get("required", False) is True,
            key=key,
            person=self.one_of(f"{name}.person", given.get("person"), known),
            change=change,
            encoding=self.encoding(given.get("encoding", encoding), name),
            business_date=self.business_date(name, given.get("business_date"), known),
            pii=pii,
            columns=columns,
            time_zone=time_zone if any(column.type == "timestamp" for column in columns) else None,
            watermark=watermark,
            relation=self.relation(name, given.get("relation")),
            merges=self.merges(name, given.get("merges"), known),
        )

    def relation(self, table: str, value: object) -> str | None:
        if value is not None and not RELATION.fullmatch(str(value)):
            raise self.wrong(
                f"{table}.relation must be the name of a table or view, with its schema before a dot or not."
            )
        return None if value is None else str(value)

    def merges(self, table: str, value: object, known: Mapping[str, SourceColumn]) -> tuple[str, str] | None:
        """The columns of the old and the surviving key, in this order."""
        if value is None:
            return None
        names = [self.one_of(f"{table}.merges", name, known) for name in self.names(value, f"{table}.merges")]
        if len(names) != 2 or names[0] is None or names[1] is None:
            raise self.wrong(f"{table}.merges must be two columns: the old key, the surviving key.")
        return names[0], names[1]

    def change(
        self, table: str, value: object, known: Mapping[str, SourceColumn], key: tuple[str, ...]
    ) -> tuple[str, str | None]:
        """`snapshot`, `append`, or `{watermark: COLUMN}`: the mode, and the column where there is one."""
        if value in ("snapshot", "append"):
            return str(value), None
        if not isinstance(value, dict) or set(value) != {"watermark"}:
            raise self.wrong(f"{table}.change must be one of snapshot, append, {{watermark: COLUMN}}.")
        if not key:
            raise self.wrong(f"{table}.change is a watermark, which needs a key: of what is a row the newest version?")
        return "watermark", self.one_of(f"{table}.change.watermark", value["watermark"], known)

    def check_names(self, table: str, columns: Iterable[SourceColumn], pii: frozenset[str]) -> None:
        seen: set[str] = set()
        for column in columns:
            for spelling in (column.name, *column.aliases):
                if spelling.lower() in seen:
                    raise self.wrong(f"{table} has the column {spelling} twice (names differ in more than case).")
                if spelling.lower() in pii:
                    raise self.wrong(f"{table}.{spelling} is listed under pii and would be landed.")
                seen.add(spelling.lower())
        if not seen:
            raise self.wrong(f"{table}.columns is empty.")
        if ROW_ID in seen:
            raise self.wrong(f"{table}.{ROW_ID} is the name of the row's own number.")

    def column(self, table: str, name: str, value: object) -> SourceColumn:
        where = f"{table}.{name}"
        if not NAME.fullmatch(name):
            raise self.wrong(f"{where} is not a column name of letters, digits and underscores.")
        given = self.mapping(value, where, COLUMN_KEYS)
        kind = str(given.get("type"))
        decimal = DECIMAL.fullmatch(kind)
        sound = decimal is not None and 1 <= int(decimal[1]) <= 38 and int(decimal[2]) <= int(decimal[1])
        if kind not in SQL_TYPES and not sound:
            raise self.wrong(f"{where} has the type {kind}, which is not one of {', '.join(SQL_TYPES)}, decimal(p,s).")
        return SourceColumn(
            name=name,
            type=kind,
            required=given.get("required", False) is True,
            optional=given.get("optional", False) is True,
            aliases=self.names(given.get("aliases", []), f"{where}.aliases"),
            references=None if given.get("references") is None else str(given["references"]),
        )

    def check_references(self, table: SourceTable, tables: Mapping[str, SourceTable]) -> None:
        for column in table.columns:
            if column.references is not None and len(getattr(tables.get(column.references), "key", ())) != 1:
                raise self.wrong(
                    f"{table.name}.{column.name} references {column.references}, "
                    "which is no table with a key of one column."
                )

    def key(self, table: str, value: object, known: Mapping[str, SourceColumn]) -> tuple[str, ...]:
        if value == WHOLE_ROW:
            return ()
        names = self.names(value, f"{table}.key") if value != [] else ()
        if not names:
            raise self.wrong(f'{table}.key must be a list of columns or "{WHOLE_ROW}".')
        return tuple(self.one_of(f"{table}.key", name, known) or "" for name in names)

    def one_of(self, where: str, value: object, known: Mapping[str, SourceColumn]) -> str | None:
        if value is None:
            return None
        if not isinstance(value, str) or value.lower() not in known:
            raise self.wrong(f"{where} names {value}, which is not one of the table's columns.")
        return value.lower()

    def business_date(self, table: str, value: object, known: Mapping[str, SourceColumn]) -> str | None:
        name = self.one_of(f"{table}.business_date", value, known)
        if name is not None and known[name].type not in ("date", "timestamp"):
            raise self.wrong(f"{table}.business_date names {value}, which is neither a date nor a timestamp.")
        return name
