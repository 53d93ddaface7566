"""The subset's lint: what `sql-subset.md` allows passes, each construct that it names as never does not."""

from pathlib import Path

import pytest

from etl.engine import lint

HERE = Path(__file__).parent
ALLOWED = (HERE / "allowed.sql").read_text().split("\n;\n")
NEVER = [*(HERE / "never.sql").read_text().split("\n;\n"), "SELECT 1 AS a; SELECT 2 AS b", "DELETE FROM s.t", ""]


@pytest.mark.parametrize("sql", ALLOWED)
def test_a_construct_of_the_subset_passes(sql: str) -> None:
    assert [str(finding) for finding in lint(sql, "x.sql")] == []


@pytest.mark.parametrize("sql", NEVER)
def test_a_construct_outside_the_subset_is_named(sql: str) -> None:
    findings = lint(sql, "x.sql")
    assert findings
    assert all(finding.path == "x.sql" and finding.message for finding in findings)


def test_a_finding_names_the_line() -> None:
    [finding] = lint("SELECT\n    a,\n    CAST(dayname(b) AS VARCHAR) AS c\nFROM s.t", "x.sql")
    assert finding.line == 3


def test_every_sql_file_of_the_project_keeps_to_the_subset(project: Path) -> None:
    files = [*project.glob("sql/**/*.sql"), *project.glob("sources/**/*.sql")]
    assert files
    findings = [str(f) for file in files for f in lint(file.read_text(), str(file.relative_to(project)))]
    assert findings == []
