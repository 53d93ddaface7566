"""What the coverage counts, what its CSV and page show, and what they keep to themselves."""

import csv
from collections.abc import Iterator
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import pytest

from etl.errors import UsageError
from etl.pipeline.coverage import Code, SourceColumn, chosen, column_name, share, write_csv
from etl.pipeline.mapping_report import FILES, front_page, mapping_page, totals, write_report
from etl.pipeline.models import source_parts
from etl.pipeline.runs import Run

VOID = {"meta", "br", "link", "input", "img", "hr"}
RUN = Run(
    run_id="20261124T000000-abcdef",
    source="synthea",
    scope="all",
    status="running",
    parameters={},
    batch_ids=[1],
    vocabulary_id=1,
    cutoff_date=date(2024, 12, 31),
    landing_verdict=None,
    verdict=None,
    drift_verdict=None,
    code_version="test",
    message=None,
)


def code(text: str, rows: int, mapped: int = 0, *, name: str | None = None, vocabulary: str = "SNOMED") -> Code:
    if not mapped:
        return Code(vocabulary, text, name, rows, 0, 0, "unmapped", 0, None, None)
    return Code(vocabulary, text, name, rows, mapped, 1, "maps to", 201826, "Type 2 diabetes mellitus", "Condition")


CONDITIONS = SourceColumn(
    "conditions.code",
    "code",
    (code("A", 60, 60), code("DATED", 30, 10), code("LOCAL", 10, name="a local <b>code</b>"), code("RARE", 1)),
)
ANSWERS = SourceColumn(
    "observations.value", "value", (code("LA1", 9), code("I feel blue", 4), code("ask my wife", 1), code("LA2", 3, 3))
)
SEXES = SourceColumn("patients.gender", "gender", (code("F", 2, 2), code("M", 1, 1)))


class Page(HTMLParser):
    """A page's tags, checked to be closed in order, its links, its texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags.append(tag)
        self.links += [named["href"] or ""] if "href" in named else []
        self.ids += [named["id"] or ""] if "id" in named else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture
def page() -> Iterator[Page]:
    yield Page(mapping_page(RUN, [CONDITIONS, ANSWERS, SEXES]))


def test_a_code_mapped_for_a_time_counts_with_the_rows_of_that_time() -> None:
    assert (CONDITIONS.rows, CONDITIONS.mapped_rows, CONDITIONS.mapped_codes) == (101, 70, 2)
    assert CONDITIONS.rows_by_path() == {"maps to": 70, "itself": 0, "custom": 0, "unmapped": 31}
    assert [one.code for one in CONDITIONS.unmapped] == ["DATED", "LOCAL", "RARE"]


def test_the_totals_are_sums_over_the_columns() -> None:
    summed = totals([CONDITIONS, ANSWERS, SEXES])
    assert (summed.rows, summed.mapped_rows, summed.codes, summed.mapped_codes) == (121, 76, 10, 5)
    assert (summed.columns, summed.complete_columns) == (3, 1)


@pytest.mark.parametrize(
    ("part", "whole", "told"),
    [(0, 0, "–"), (0, 7, "0.0 %"), (7, 7, "100 %"), (99_999, 100_000, "99.9 %"), (1, 100_000, "0.1 %")],
)
def test_a_hundred_per_cent_means_all_and_nothing_means_none(part: int, whole: int, told: str) -> None:
    assert share(part, whole) == told


def test_a_column_is_named_after_its_table_and_what_its_code_says() -> None:
    numbers = {part["part"]: number for number, part in source_parts().items() if part["source"] == "synthea"}
    assert column_name(numbers["conditions"], "code") == "conditions.code"
    assert column_name(numbers["observations"], "unit") == "observations.unit"
    assert column_name(numbers["reaction2"], "code") == "allergies.reaction2.code"
    assert column_name(numbers["visit_detail"], "detail_class") == "encounters.detail_class"
    assert column_name(numbers["death"], "cause_of_death") == "patients.cause_of_death"


def test_an_unknown_column_is_refused_with_the_known_ones() -> None:
    assert chosen([CONDITIONS, SEXES], "patients.gender") is SEXES
    with pytest.raises(UsageError, match=r"no source column patients\.sex[\s\S]*patients\.gender"):
        chosen([CONDITIONS, SEXES], "patients.sex")


def test_the_csv_holds_every_code_and_its_rows_add_up(tmp_path: Path) -> None:
    write_csv([CONDITIONS, ANSWERS, SEXES], tmp_path / "mapping_coverage.csv")
    with (tmp_path / "mapping_coverage.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    summed = totals([CONDITIONS, ANSWERS, SEXES])
    assert sum(int(line["rows"]) for line in lines) == summed.rows
    assert sum(int(line["mapped_rows"]) for line in lines) == summed.mapped_rows
    assert {line["source_code"] for line in lines} == {"A", "DATED", "LOCAL", "RARE", "LA1", "LA2", "", "F", "M"}


def test_unmapped_answers_of_few_rows_are_counted_and_shown_nowhere(tmp_path: Path, page: Page) -> None:
    """An answer that the vocabulary does not know may be somebody's own words; a code of a diagnosis is not."""
    write_csv([ANSWERS], tmp_path / "mapping_coverage.csv")
    text = (tmp_path / "mapping_coverage.csv").read_text(encoding="utf-8")
    assert "I feel blue" not in text and "ask my wife" not in text
    assert '"2 answers, each of fewer than 5 rows",5,0' in text.replace(",,,", ",").replace("value,,,", "value,")
    told = " ".join(page.texts)
    assert "I feel blue" not in told and "ask my wife" not in told
    assert "Not shown: 2 answers, each of fewer than 5 rows." in told
    assert "LA1" in told and "RARE" in told


def test_the_page_is_one_file_without_script_or_anything_from_elsewhere(page: Page) -> None:
    assert "script" not in page.tags and "link" not in page.tags and "img" not in page.tags
    inner = {link.removeprefix("#") for link in page.links if link.startswith("#")}
    assert inner == {"conditions.code", "observations.value"} == set(page.ids)
    assert {link for link in page.links if not link.startswith("#")} == {"index.html", "mapping_coverage.csv"}


def test_the_page_tells_totals_and_the_most_frequent_gaps_first(page: Page) -> None:
    assert page.ids == ["conditions.code", "observations.value"]
    told = [text.strip() for text in page.texts if text.strip()]
    assert "62.8 %" in told and "76 of 121" in told and "1 of 3" in told
    assert told.index("DATED") < told.index("LOCAL") < told.index("RARE")


def test_a_name_with_markup_in_it_is_text(page: Page) -> None:
    assert "a local <b>code</b>" in page.texts
    assert "b" not in page.tags or page.tags.count("b") == 3  # the three totals


def test_a_complete_coverage_says_so() -> None:
    assert "Nothing: every code" in mapping_page(RUN, [SEXES])
    assert "–" in mapping_page(RUN, [])


def test_a_report_is_written_whole_and_leaves_nothing_beside(home: Path, tmp_path: Path) -> None:
    RUN.folder.mkdir(parents=True)
    write_report(RUN, [CONDITIONS], RUN.folder / "report")
    assert {path.name for path in (RUN.folder / "report").iterdir()} == set(FILES)
    assert [path.name for path in RUN.folder.iterdir()] == ["report"]


def test_the_front_page_links_the_reports() -> None:
    assert {"mapping.html", "candidate/index.html", "landing/index.html"} <= set(Page(front_page(RUN)).links)
