"""The SQL files as models: what each makes, from what, with which columns."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from etl.cdm import Column, source_models, tables
from etl.config import PROJECT, deprecated_checks
from etl.engine import inputs_of
from etl.errors import CdmflowError
from etl.yaml_text import read_yaml

# What decides over the rows of a run besides its input, its vocabulary and the source's maps.
RULES = ("sql", "etl/cdm/*.csv", "etl/vocabulary/*.csv", "sources/source_parts.yml")
STAGES = {"3_map": "map", "4_cdm": "cdm", "5_derive": "cdm", "6_account": "account"}


@dataclass(frozen=True)
class Model:
    """A relation made by one SQL file, or by the union of a folder's files (its parts).

    `stage` is the folder that holds it (2_source … 6_account); `columns` are the declared ones, where any are.
    """

    name: str
    stage: str
    files: tuple[Path, ...]
    inputs: frozenset[str]
    columns: tuple[Column, ...] | None

    def outputs(self, run_dir: Path) -> list[Path]:
        """The Parquet files it writes, one per SQL file."""
        schema, table = self.name.split(".")
        if len(self.files) == 1 and self.files[0].stem == table:
            return [run_dir / schema / f"{table}.parquet"]
        return [run_dir / schema / table / f"{file.stem}.parquet" for file in self.files]


def _model(name: str, stage: str, files: list[Path]) -> Model:
    schema, table = name.split(".")
    columns: tuple[Column, ...] | None = None
    if schema == "source":
        columns = source_models().get(table)
        if columns is None:
            raise CdmflowError(
                f"{files[0]} makes {table}, which is no source model.",
                todo=f"Source models are: {', '.join(source_models())} (etl/cdm/source_models.csv).",
            )
    elif schema == "cdm":
        if table not in tables():
            raise CdmflowError(f"{files[0]} makes {table}, which is no table of the CDM.")
        columns = tables()[table].fields
    inputs = frozenset[str]().union(*(inputs_of(file.read_text(encoding="utf-8")) for file in files))
    return Model(name, stage, tuple(files), inputs, columns)


@cache
def models(source: str) -> dict[str, Model]:
    """All models of a source by name: its own 2_source and the shared stages, in no order but by name."""
    found: dict[str, Model] = {}
    own = PROJECT / "sources" / source / "2_source"
    for path in sorted(own.iterdir()) if own.is_dir() else []:
        if path.is_dir():
            found[f"source.{path.name}"] = _model(f"source.{path.name}", "2_source", sorted(path.glob("*.sql")))
        elif path.suffix == ".sql":
            found[f"source.{path.stem}"] = _model(f"source.{path.stem}", "2_source", [path])
    for folder, schema in STAGES.items():
        for path in sorted((PROJECT / "sql" / folder).glob("*.sql")):
            found[f"{schema}.{path.stem}"] = _model(f"{schema}.{path.stem}", folder, [path])
    return found


def in_order(chosen: list[Model]) -> list[Model]:
    """These models so that each comes after those it reads; a cycle is an error."""
    waiting = {model.name: model for model in chosen}
    ordered: list[Model] = []
    while waiting:
        ready = [model for model in waiting.values() if not (model.inputs - {model.name}) & set(waiting)]
        if not ready:
            raise CdmflowError(f"These SQL files read each other in a circle: {', '.join(sorted(waiting))}.")
        for model in ready:
            ordered.append(waiting.pop(model.name))
    return ordered


@cache
def source_parts() -> dict[int, dict[str, str]]:
    """The registry of source parts: number → source, table, part (`sources/source_parts.yml`)."""
    parts: dict[int, dict[str, str]] = read_yaml((PROJECT / "sources/source_parts.yml").read_text("utf-8"))
    for number in parts:
        if not 1 <= int(number) <= 999:
            raise CdmflowError(f"sources/source_parts.yml: {number} is not within 1 to 999.")
    return parts


def part_numbers() -> dict[str, int]:
    """`<source>_<part>` → number, as SQL names them in `{{ part.… }}`."""
    named = {f"{part['source']}_{part['part']}": int(number) for number, part in source_parts().items()}
    if len(named) != len(source_parts()):
        raise CdmflowError("sources/source_parts.yml: a part is named twice within one source.")
    return named


def sources() -> tuple[str, ...]:
    """The sources that can be run: folders under sources/ with a contract."""
    return tuple(sorted(path.parent.name for path in (PROJECT / "sources").glob("*/tables.yml")))


@cache
def rules_digest(source: str) -> str:
    """sha256 over the files that say what becomes of this source's rows: SQL, contract, specification."""
    own = (f"sources/{source}/tables.yml", f"sources/{source}/2_source")
    return _digest_of((*RULES, *own))


@cache
def maps_digest(source: str) -> str:
    """sha256 over the source's own maps."""
    return _digest_of((f"sources/{source}/map",))


def checks_digest() -> str:
    """sha256 over what the gate counts; a site's own severities and limits (`site.yml`) change no count."""
    digest = _digest_of(("expectations/cdm", "expectations/dqd"))
    return f"{digest} with deprecated ones" if deprecated_checks() else digest


def _digest_of(patterns: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for pattern in patterns:
        found = [PROJECT / pattern] if "*" not in pattern else PROJECT.glob(pattern)
        files = sorted(file for path in found for file in ([path] if path.is_file() else path.rglob("*")))
        for file in files:
            if file.is_file() and file.suffix in (".sql", ".yml", ".csv"):
                digest.update(f"{file.relative_to(PROJECT)}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    return digest.hexdigest()
