"""Reads `expectations/`: what must hold for each table, as engineers write it.

A file names its table and a list of groups. A group is one check type with one severity over some columns:

    - check: foreign_key
      severity: critical
      columns:
        person_id: person.person_id

Keys: `check`, `severity`, optionally `allowed_percent` and `columns` (a list, or a mapping to the check's argument).
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from etl.errors import ContractError
from etl.quality.model import SEVERITIES, Check
from etl.yaml_text import read_yaml

# Check types, and whether a column carries an argument.
CHECK_TYPES: dict[str, bool] = {
    "has_rows": False,
    "columns": False,
    "types": False,
    "required": False,
    "length": True,
    "primary_key": False,
    "unique": False,
    "foreign_key": True,
    "concept_domain": True,
    "concept_class": True,
    "standard_concept": False,
    "unmapped": False,
    "dates_in_order": True,
    "after_birth": False,
    "before_death": False,
    "within_observation_period": False,
    "same_person": True,
    "within_visit": True,
    "no_overlap": True,
    "stays_apart": True,
    "in_range": True,
    "current_type": False,
    "not_in_future": False,
    "decodes": False,
    "plausible_value": True,
    "eras_apart": True,
    "no_repeat": True,
    "referred_to": False,
}
RANGE = re.compile(r"-?\d{1,9}\.\.-?\d{1,9}")
WHOLE_TABLE = ("has_rows", "columns", "types")


def read_suites(directory: Path) -> dict[str, tuple[Check, ...]]:
    """The checks of each table, from all `*.yml` of a folder; ContractError where a file is not as described above."""
    suites = dict(_known_suite(path, *_state(path)) for path in sorted(directory.glob("*.yml")))
    if not suites:
        raise _broken(directory, "holds no suite (*.yml)")
    return suites


def _state(path: Path) -> tuple[int, int]:
    return path.stat().st_mtime_ns, path.stat().st_size


@lru_cache(maxsize=100)
def _known_suite(path: Path, _changed: int, _bytes: int) -> tuple[str, tuple[Check, ...]]:
    """Read once a process, until the file changes: 27 files of YAML take 0.1 s, and a gate asks four times."""
    return read_suite(path)


def read_suite(path: Path) -> tuple[str, tuple[Check, ...]]:
    """A file's table and checks, in the file's order."""
    try:
        content = read_yaml(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, OSError) as error:
        raise _broken(path, f"cannot be read ({type(error).__name__})") from error
    if not isinstance(content, dict) or set(content) != {"table", "checks"}:
        raise _broken(path, "needs exactly the keys table and checks")
    table = content["table"]
    if table != path.stem:
        raise _broken(path, f"says table: {table}; the file's name and its table must be the same")
    if not isinstance(content["checks"], list) or not content["checks"]:
        raise _broken(path, "has no checks: an empty suite would let everything through")
    checks = tuple(check for group in content["checks"] for check in _checks_of(group, table, path))
    ids = [check.check_id for check in checks]
    doubled = sorted({check_id for check_id in ids if ids.count(check_id) > 1})
    if doubled:
        raise _broken(path, f"says {', '.join(doubled)} more than once")
    return table, checks


def _checks_of(group: Any, table: str, path: Path) -> Iterator[Check]:
    if not isinstance(group, dict) or not {"check", "severity"} <= set(group) <= {*_GROUP_KEYS}:
        raise _broken(path, f"has a group that is not of the keys {', '.join(_GROUP_KEYS)}, the first two required")
    check_type, severity = group["check"], group["severity"]
    if check_type not in CHECK_TYPES:
        raise _broken(path, f"names the unknown check {check_type} (known: {', '.join(CHECK_TYPES)})")
    if severity not in SEVERITIES:
        raise _broken(path, f"gives {check_type} the unknown severity {severity} (known: {', '.join(SEVERITIES)})")
    allowed = group.get("allowed_percent", 0)
    if isinstance(allowed, bool) or not isinstance(allowed, int | float) or not 0 <= allowed <= 100:
        raise _broken(path, f"gives {check_type} an allowed_percent that is not between 0 and 100")
    columns = group.get("columns")
    if (check_type in WHOLE_TABLE) != (columns is None):
        raise _broken(path, f"{'must not name' if columns is not None else 'must name'} columns of {check_type}")
    for column, argument in _columns_of(columns, check_type, path):
        if check_type == "in_range" and not RANGE.fullmatch(" ".join(argument)):
            raise _broken(path, f"must give {column} a range like 0..365")
        yield Check(table, column, check_type, severity, float(allowed), argument)


_GROUP_KEYS = ("check", "severity", "allowed_percent", "columns")


def _columns_of(columns: Any, check_type: str, path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    if columns is None:
        yield "", ()
    elif CHECK_TYPES[check_type]:
        if not isinstance(columns, Mapping) or not columns:
            raise _broken(path, f"must give each column of {check_type} its argument (column: argument)")
        for column, argument in columns.items():
            values = argument if isinstance(argument, list) else [argument]
            yield str(column), tuple(str(value) for value in values)
    else:
        if not isinstance(columns, list) or not columns:
            raise _broken(path, f"must list the columns of {check_type}")
        for column in columns:
            yield str(column), ()


def _broken(path: Path, what: str) -> ContractError:
    return ContractError(
        f"{'/'.join(path.parts[-3:])} {what}.",
        state="Nothing was checked, so nothing is published.",
        todo="Correct the file; expectations/README.md describes its form.",
    )
