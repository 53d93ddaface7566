"""What import-linter cannot see: sizes, headers, who may name a library, errors without a test."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
LONGEST_FILE_LINES = 500
PYTHON_FOLDERS = ("etl", "dags", "tests", "bench")
# library → the only package of etl that may import it
OWNERS = {
    "great_expectations": "quality",
    "duckdb": "engine",
    "sqlglot": "engine",
    "pyspark": "engine",
    "airflow": None,
}
# the types of DuckDB's errors and connections may be named where SQL of one's own is run on the engine's connection
HEADER_LABEL = re.compile(r"^-- (keeps|sends on|excludes|holds|note):", flags=re.MULTILINE)
LOSES_ROWS = re.compile(r"\b(INNER JOIN|SEMI JOIN|ANTI JOIN|WHERE|QUALIFY)\b")


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (PROJECT / folder).rglob("*.py"))


def sql_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (PROJECT / folder).rglob("*.sql"))


def shown(paths: list[Path]) -> str:
    return ", ".join(str(path.relative_to(PROJECT)) for path in paths)


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


def error_classes() -> set[str]:
    """CdmflowError and all classes below it, by name."""
    bases = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for path in python_files("etl")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    }
    found = {"CdmflowError"}
    while more := {name for name, above in bases.items() if above & found} - found:
        found |= more
    return found


def header(path: Path) -> str:
    """The comment lines at the top of a SQL file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    end = next((n for n, line in enumerate(lines) if not line.startswith("--")), len(lines))
    return "\n".join(lines[:end])


def test_no_file_is_longer_than_500_lines() -> None:
    files = [*python_files(*PYTHON_FOLDERS), *sql_files("sql", "sources")]
    long = [path for path in files if len(path.read_text(encoding="utf-8").splitlines()) > LONGEST_FILE_LINES]
    assert not long, f"Longer than {LONGEST_FILE_LINES} lines: {shown(long)}"


def test_only_its_owner_imports_a_library() -> None:
    strangers = [
        f"{path.relative_to(PROJECT)} imports {module}"
        for path in python_files("etl")
        for module in imports(path)
        if (library := module.split(".")[0]) in OWNERS and path.relative_to(PROJECT / "etl").parts[0] != OWNERS[library]
    ]
    assert not strangers, "\n".join(strangers)


def test_only_config_reads_the_environment() -> None:
    reading = re.compile(r"os\.(environ|getenv)\b")
    readers = [path for path in python_files("etl") if reading.search(path.read_text(encoding="utf-8"))]
    assert readers == [PROJECT / "etl/config.py"], shown(readers)


def test_the_four_verbs_never_import_each_other() -> None:
    verbs = ("land", "vocabulary", "quality", "publish")
    crossing = [
        f"{path.relative_to(PROJECT)} imports {module}"
        for verb in verbs
        for path in python_files(f"etl/{verb}")
        for module in imports(path)
        if any(module == f"etl.{other}" or module.startswith(f"etl.{other}.") for other in verbs if other != verb)
    ]
    assert not crossing, "\n".join(crossing)


def test_every_shared_sql_file_says_what_a_row_is_and_what_leaves() -> None:
    silent = [
        path
        for path in sql_files("sql")
        if not header(path).startswith("-- one row") or not HEADER_LABEL.search(header(path))
    ]
    assert not silent, f"No grain, or nothing said of what is kept, sent on or excluded: {shown(silent)}"


def test_every_source_model_that_can_lose_rows_says_so() -> None:
    silent = [
        path
        for path in sql_files("sources")
        if LOSES_ROWS.search(path.read_text(encoding="utf-8")) and not HEADER_LABEL.search(header(path))
    ]
    assert not silent, f"Rows can leave, and the header does not say which: {shown(silent)}"


def test_every_error_class_has_a_test_that_raises_it() -> None:
    tests = "\n".join(path.read_text(encoding="utf-8") for path in python_files("tests"))
    untested = sorted(name for name in error_classes() if not re.search(rf"raises\((\w+\.)?{name}\b", tests))
    assert not untested, f"No test raises: {', '.join(untested)}"


def test_nothing_is_left_for_later_or_swallowed() -> None:
    marks = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X")))
    files = [*python_files("etl", "dags", "bench"), *sql_files("sql", "sources")]
    found = [path for path in files if marks.search(path.read_text(encoding="utf-8"))]
    assert not found, shown(found)
    swallowing = [
        f"{path.relative_to(PROJECT)}:{node.lineno}"
        for path in python_files("etl", "dags")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler) and all(isinstance(line, ast.Pass) for line in node.body)
    ]
    assert not swallowing, "\n".join(swallowing)
