"""The quality page says what is so, holds nothing from elsewhere and nothing of a row."""

import html
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from made_reports import BROKEN, EMPTY, GREW, HELD, LATE, UNMAPPED, UNTOLD, full_report, made, override, report

from etl.quality import CheckResult
from etl.quality.compute import LEDGER_TYPES
from etl.quality.drift import LIMITS
from etl.quality.report import QualityReport, Quarantined, ReleaseCounts, compare, quality_page
from etl.quality.report.charts import nice_top, share_floor, trend
from etl.quality.report.page import percent
from etl.quality.report.words import DRIFT, OWN
from etl.quality.suites import CHECK_TYPES


class Page(HTMLParser):
    """The texts of a page by heading, and its tags and addresses."""

    VOID = ("meta", "br", "path", "circle", "rect", "use", "polyline")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.sections: dict[str, str] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.heading = "top"
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "h2":
            self.heading = ""

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["style"]:
            return
        if self.open[-1:] == ["h2"]:
            self.heading += data
        else:
            self.sections[self.heading] = " ".join(f"{self.sections.get(self.heading, '')} {data}".split())


def page_of(told: QualityReport) -> Page:
    return Page(quality_page(told))


def test_a_page_of_everything_is_well_formed_and_tells_every_section() -> None:
    page = page_of(full_report())
    assert page.open == []
    assert [name for name in page.sections if name != "top"] == [
        "What does not hold", "Overridden", "Since release 7", "Over the releases", "By table", "Drift", "Quarantine",
    ]  # fmt: skip


@pytest.mark.parametrize("told", [report(), full_report()])
def test_the_page_refers_to_nothing_elsewhere(told: QualityReport) -> None:
    page = quality_page(told)
    assert not re.search(r"https?:|url\(|@import|<script|<link|<iframe|<img", page, re.IGNORECASE)
    addresses = {
        value for _, attributes in Page(page).tags for name, value in attributes.items() if name in ("href", "src")
    }
    assert addresses
    assert not [address for address in addresses if address and (":" in address or address.startswith(("/", "..")))]


def test_an_open_gate_says_so_and_that_nothing_fails() -> None:
    page = page_of(report())
    assert "The gate is open Every critical check holds." in page.sections["top"]
    assert "every check that had something to count holds" in page.sections["What does not hold"]
    assert "No row is held back." in page.sections["Quarantine"]


def test_a_shut_gate_gives_its_reasons_first() -> None:
    page = page_of(full_report())
    assert "The gate is shut: nothing is published 1 reason;" in page.sections["top"]
    assert "person.required.gender_concept_id: 3 of 1,000" in page.sections["top"]


def test_more_than_eight_reasons_are_folded() -> None:
    told = quality_page(report(passed=False, reasons=[f"check_{number}: 1 of 2" for number in range(10)]))
    assert "2 more" in Page(told).sections["top"]
    assert told.index("check_7") < told.index("<details>") < told.index("check_8")


def test_failures_come_by_gravity_with_counts_share_and_limit() -> None:
    failures = page_of(full_report()).sections["What does not hold"]
    places = ["Could not be counted", "Critical", "person.gender_concept_id", "Warnings", "condition_occurrence"]
    assert [failures.index(place) for place in places] == sorted(failures.index(place) for place in places)
    assert "ConversionException" in failures
    assert "rows without a value person.required.gender_concept_id 3 of 1,000" in failures
    assert "0.3 % none allowed" in failures
    assert "600 of 8,000 before 500 of 8,000 7.5 % limit 5 %" in failures


def test_an_overridden_failure_stands_apart_with_reason_and_last_day() -> None:
    page = page_of(full_report())
    assert LATE.check_id not in page.sections["What does not hold"]
    overridden = page.sections["Overridden"]
    assert "overridden until 2026-12-31" in overridden
    assert "“the registry's dates come late, ticket 4711”, m.kim" in overridden
    assert "No longer needed, since the check holds: person.unmapped.* (until 2026-12-05)" in overridden


def test_an_override_of_what_cannot_be_overridden_changes_nothing() -> None:
    page = page_of(full_report(overrides=[override(BROKEN.check_id, "please")]))
    assert BROKEN.check_id in page.sections["What does not hold"]


def test_a_warning_that_got_worse_stands_among_what_stops() -> None:
    failures = page_of(full_report(regressed=[UNMAPPED.check_id])).sections["What does not hold"]
    assert "Warnings that got worse 1, stops the publish" in failures
    assert "Warnings 1" not in failures


def test_what_is_new_worse_and_resolved_is_told_against_the_release_before() -> None:
    since = page_of(full_report()).sections["Since release 7"]
    assert since.startswith("4 new, 1 worse, 1 resolved.")
    worse, resolved = since.index("fail in both"), since.index("failed, and do not any more")
    assert since.index(BROKEN.check_id) < worse < since.index(UNMAPPED.check_id) < resolved < since.index(HELD.check_id)


def test_the_first_release_compares_with_nothing() -> None:
    page = page_of(report(before=None, before_release=None))
    assert "the first release" in page.sections["top"]
    assert "There is no release to compare with" in page.sections["Drift"]
    assert not [name for name in page.sections if name.startswith("Since")]


def test_a_check_that_is_not_asked_any_more_is_not_resolved() -> None:
    assert compare([HELD], [HELD, BROKEN]).resolved == ()


def test_a_failure_that_was_not_asked_before_is_new_and_an_error_counts_as_broken() -> None:
    changes = compare([BROKEN, UNTOLD, HELD], [replace(UNTOLD, status="passed"), HELD])
    assert [(now.check_id, before is None) for now, before in changes.new] == [
        (BROKEN.check_id, True),
        (UNTOLD.check_id, False),
    ]
    assert compare([UNTOLD], [UNTOLD]).new == ()


def test_the_matrix_counts_what_holds_of_what_could_be_counted() -> None:
    matrix = page_of(full_report()).sections["By table"]
    assert "person Conformance 1 of 2" in matrix
    assert "condition_occurrence – Completeness 0 of 1 1 – 0 of 1" in matrix
    assert "Nothing to count in note." in matrix
    assert "nothing to count 1" in matrix
    assert "measurement – – Plausibility 0 of 1 1 0 of 1" in matrix, "drift has its own section"


def test_the_totals_leave_drift_and_the_inapplicable_out() -> None:
    top = page_of(full_report()).sections["top"]
    assert "All checks 1 of 5" in top
    assert "Completeness 0 of 1" in top
    assert "rows in quarantine 41" in top
    assert "nothing to count 1" in top


def test_drift_beyond_its_limits_is_shown_and_the_rest_folded() -> None:
    still = replace(GREW, check_id="drift.rows.person", table="person", violated=0, status="passed")
    drift = page_of(full_report(results=[HELD, GREW, still])).sections["Drift"]
    assert drift.startswith("1 of 2 measures stay within their limits against release 7.")
    assert "rows more or fewer drift.rows.measurement 490 now, 400 before" in drift
    assert drift.index("22.5 % limit 10 %") < drift.index("within their limits 1") < drift.index("drift.rows.person")


def test_quarantined_rows_are_told_by_table_check_and_nights() -> None:
    assert "observations landing.bad_date 3 41" in page_of(full_report()).sections["Quarantine"]


def test_long_lists_are_folded() -> None:
    many = [made(f"t{number}.required.c", 1, 10, table=f"t{number}", column="c") for number in range(30)]
    page = quality_page(report(results=many, before=None, before_release=None))
    assert "18 more critical" in page
    places = [page.index(check_id) for check_id in sorted(result.check_id for result in many)]
    assert places[11] < page.index("18 more critical") < places[12]


def test_tables_with_a_page_are_linked_and_others_are_not() -> None:
    page = quality_page(full_report())
    assert '<a href="candidate/person.html">' in page
    assert "candidate/measurement.html" not in page
    assert '<a href="drift/drift.html">measurement</a>' in page


def test_every_value_is_escaped() -> None:
    evil = "<script>alert('x')</script>\"&"
    page = quality_page(
        full_report(
            source=evil,
            run_id=evil,
            reasons=[evil],
            results=[
                replace(LATE, check_id=evil, table=evil, column=evil, check_type=evil),
                replace(UNTOLD, reason=evil),
            ],
            overrides=[override("<x>", evil, made_by=evil), override("*", evil, made_by=evil)],
            trend=[ReleaseCounts(evil, 1, 0, 0, 0), ReleaseCounts(evil, 1, 0, 0, 0)],
            quarantined=[Quarantined(evil, evil, 1, 1)],
        )
    )
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 10
    assert Page(page).open == []


def test_a_reason_with_an_address_is_text_and_breaks_no_page() -> None:
    told = full_report(overrides=[override(LATE.check_id, "see https://tickets/4711")])
    assert "see https://tickets/4711" in html.unescape(quality_page(told))


def test_severities_have_shapes_and_names_not_only_colours() -> None:
    page = page_of(full_report())
    shapes = {a.get("href") for tag, a in page.tags if tag == "use"}
    assert {"#critical", "#warning", "#error", "#passed", "#rest", "#info"} <= shapes
    names = {a.get("aria-label") for tag, a in page.tags if tag == "svg" and "mark" in (a.get("class") or "")}
    assert {"critical", "warning", "not counted", "passed"} <= names


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"), (1.0, "100 %"), (0.075, "7.5 %"), (0.9999999, "99.99 %"), (0.9931, "99.31 %"), (0.5, "50 %"),
        (0.00042, "0.042 %"), (1 / 10**9, "< 0.001 %"),
    ],
)  # fmt: skip
def test_a_share_is_never_rounded_to_all_or_nothing(share: float, text: str) -> None:
    assert percent(share) == text


def test_charts_keep_their_drawing_area_and_bars_add_up() -> None:
    releases = [ReleaseCounts(str(n), passed=100 + n, critical=n % 2, warning=n % 5, info=40 - n) for n in range(40)]
    drawn = trend(releases)
    assert len(drawn.columns) == 24
    assert drawn.columns[-1].is_named
    most = float(drawn.failures[-1][1])
    for column in drawn.columns:
        assert 34 <= column.left <= column.left + column.width <= 348
        assert 16 <= column.dot_y <= 118
        height = sum(piece.height for piece in column.pieces)
        assert height == pytest.approx(column.counts.failed / most * 102, abs=0.2)


@pytest.mark.parametrize(
    ("most", "top"), [(0, 2), (2, 2), (3, 4), (9, 10), (10, 10), (11, 20), (61, 80), (1_001, 2_000)]
)
def test_an_axis_of_counts_ends_at_a_round_number(most: int, top: int) -> None:
    assert nice_top(most) == top


def test_an_axis_of_shares_begins_below_the_least() -> None:
    assert [share_floor(least) for least in (0.0, 0.4, 0.991, 1.0)] == [0.0, 0.0, 0.99, 0.99]


def test_every_check_type_of_ours_has_words_and_a_category() -> None:
    missing = {*CHECK_TYPES, *LEDGER_TYPES} - set(OWN)
    assert not missing, f"etl/quality/report/words.py has no words for: {', '.join(sorted(missing))}"


def test_every_measure_of_drift_has_words() -> None:
    assert set(DRIFT) == set(LIMITS)


def test_no_result_at_all_still_gives_a_page() -> None:
    assert "The gate is shut" in quality_page(report(passed=False, results=[], before=None, reasons=["no result"]))


def test_the_page_stays_small_with_all_of_dqds_checks() -> None:
    results: list[CheckResult] = [
        replace(LATE, check_id=f"field_x_{number}", status="failed" if number % 20 == 0 else "passed")
        for number in range(3_000)
    ]
    assert len(quality_page(report(results=[*results, EMPTY], before=results)).encode()) < 500_000
