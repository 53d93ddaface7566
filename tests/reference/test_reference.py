"""Our CDM beside the published output of others for the same patients: every row of either side is equal or has a rule.

synthea_109     OHDSI's ETL-Synthea, 109 patients
synthea_tiny    ETL-Synthea-Python, 2 patients in an older layout of Synthea; its imaging study and payer transitions
                lack what our contract cannot do without (series and instance, days) and are left out
synthea_lauren  OHDSI's tutorial, one patient made by hand in an older layout, with dates like 03/12/1982 and 2010/01/06
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest
from comparison import Comparison, Result, compare, load_comparison
from deliveries import adapted
from documented import DOCS, counts_table, rules_table
from homes import make_home, remove_home
from readable import read_csv_folder, read_run
from tiny_hospital import hospital_in

from etl.pipeline.runs import relations

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Published:
    """A set of the shared data: where its output lies, and how its source is delivered to us."""

    output: str
    delivery: Callable[[Path, Path], Path]
    vocabulary: str = ""


SETS = {
    "synthea_109": Published("reference_cdm", lambda data, _: data / "source"),
    "synthea_tiny": Published(
        "reference_omop",
        lambda data, folder: adapted(data / "source", folder, leave_out=("payer_transitions", "imaging_studies")),
        "vocabulary_athena_tsv",
    ),
    "synthea_lauren": Published(
        "reference_cdm",
        lambda data, folder: adapted(data / "source_csv_derived", folder, date_formats=("%m/%d/%Y", "%Y/%m/%d")),
    ),
}


@dataclass(frozen=True)
class Compared:
    """A set's comparisons and what they found, by table."""

    name: str
    comparisons: dict[str, Comparison]
    results: dict[str, Result]


@pytest.fixture(scope="module", params=SETS)
def compared(
    request: pytest.FixtureRequest, shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Compared]:
    """A run over the set's source in a home of its own, and every comparison of the set."""
    name = request.param
    rules = Path(__file__).parent / name
    data = shared_data / name
    comparisons = {path.stem: load_comparison(path) for path in sorted(rules.glob("*.yml"))}
    home = make_home()
    try:
        with hospital_in(home) as hospital, duckdb.connect() as con:
            delivery = SETS[name].delivery(data, tmp_path_factory.mktemp(name) / "delivery")
            run = hospital.run(delivery, shared_data / "vocabulary_synthea")
            con.execute("SET TimeZone = 'UTC'")
            read_csv_folder(con, "src", delivery)
            read_csv_folder(con, "ref", data / SETS[name].output)
            if SETS[name].vocabulary:
                read_csv_folder(con, "athena", data / SETS[name].vocabulary, "\t")
            read_run(con, relations(run))
            con.execute((rules / "names.sql").read_text(encoding="utf-8"))
            yield Compared(name, comparisons, {table: compare(con, of) for table, of in comparisons.items()})
    finally:
        remove_home(home)


def test_every_row_is_equal_or_explained(compared: Compared) -> None:
    assert compared.results
    samples = [f"{table}: {sample}" for table, result in compared.results.items() for sample in result.samples]
    assert sum(result.unexplained for result in compared.results.values()) == 0, "\n".join(samples)


def test_every_rule_explains_something(compared: Compared) -> None:
    unused = [
        f"{table}, {side}: {rule}"
        for table, result in compared.results.items()
        for (side, rule), rows in result.by_rule.items()
        if rows == 0
    ]
    assert not unused, "Rules that explain nothing:\n" + "\n".join(unused)


def test_no_table_is_compared_with_nothing(compared: Compared) -> None:
    assert all(result.reference for result in compared.results.values())


def test_the_documented_counts_are_those_found(compared: Compared) -> None:
    counts, rules = counts_table(compared.results), rules_table(compared.results, compared.comparisons)
    assert counts in (DOCS / "conventions.md").read_text(encoding="utf-8"), f"docs/conventions.md needs\n{counts}"
    assert rules in (DOCS / "compared.md").read_text(encoding="utf-8"), f"docs/compared.md needs\n{rules}"
