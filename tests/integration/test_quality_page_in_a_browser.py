"""The quality page in headless Chromium without a network: nothing is asked for, nothing runs over the edge."""

import html
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_reports import BROKEN, UNMAPPED, full_report

from etl.quality.report import quality_page

pytestmark = pytest.mark.integration
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = (400, 1280)
FLAGS = (
    "--headless", "--hide-scrollbars", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-sync", "--disable-background-networking", "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip
# Chromium's own window cannot be narrower than 500 pixels, so each width is a frame of that width.
MEASURE = """
<script>
addEventListener('load', () => {
  const found = [...document.querySelectorAll('iframe')].map(frame => {
    const page = frame.contentDocument, width = frame.clientWidth
    page.querySelectorAll('details').forEach(each => each.open = true)
    const over = [...page.querySelectorAll('main *')].filter(each => each.getBoundingClientRect().right > width + 0.5)
    const sizes = [...page.querySelectorAll('main *')].filter(each => each.childNodes.length && !each.closest('svg'))
      .map(each => parseFloat(frame.contentWindow.getComputedStyle(each).fontSize))
    return {
      width: width,
      scrollWidth: page.documentElement.scrollWidth,
      over: over.map(each => each.tagName + '.' + each.className),
      smallest: Math.min(...sizes),
      rings: page.querySelectorAll('svg.ring').length,
      requests: frame.contentWindow.performance.getEntriesByType('resource').map(each => each.name),
    }
  })
  document.body.textContent = 'MEASURED' + JSON.stringify(found) + 'END'
})
</script>
"""


@pytest.fixture(scope="module")
def browser() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(
            "no Chromium on this machine; the page's HTML is checked in tests/unit/quality/test_quality_page.py"
        )
    return found


@pytest.fixture(scope="module")
def measured(browser: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Chromium says of the page at each width, with all that is folded open, and every address it asked for."""
    folder = tmp_path_factory.mktemp("browser")
    long_name = "field_standardconceptrecordcompleteness_condition_occurrence_condition_status_concept_id"
    many = [replace(UNMAPPED, check_id=f"{long_name}_{number}") for number in range(30)]
    huge = replace(
        BROKEN, violated=12_345_678_901, denominator=98_765_432_109, column="a_column_of_a_very_long_name" * 3
    )
    told = full_report()
    page = quality_page(replace(told, results=[*told.results, *many, huge], reasons=[long_name * 2] * 20))
    frames = "".join(f'<iframe width="{width}" height="900" srcdoc="{html.escape(page)}"></iframe>' for width in WIDTHS)
    whole = folder / "frames.html"
    whole.write_text(
        f"<!DOCTYPE html><style>iframe{{border:0}}</style><body>{frames}{MEASURE}</body>", encoding="utf-8"
    )
    log = folder / "net.json"
    run = subprocess.run(
        [
            browser, *FLAGS, f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}",
            "--virtual-time-budget=20000", "--dump-dom", whole.as_uri(),
        ],
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    answer = re.search(r"MEASURED(.*)END", run.stdout, re.DOTALL)
    assert answer, run.stderr[-2_000:]
    pages = {one["width"]: one for one in json.loads(html.unescape(answer[1]))}
    return pages | {"asked for": addresses(log)}


def addresses(log: Path) -> list[str]:
    """What pages asked the network for, by Chromium's own log; what Chromium asks for itself has no origin there."""
    events = json.loads(log.read_text(encoding="utf-8", errors="replace"))["events"]
    asked = [event["params"] for event in events if {"url", "initiator"} <= set(event.get("params", {}))]
    return sorted({one["url"] for one in asked if one["initiator"] != "not an origin"})


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_runs_over_the_edge_with_everything_open(measured: dict[Any, Any], width: int) -> None:
    assert measured[width]["scrollWidth"] == width
    assert measured[width]["over"] == []


@pytest.mark.parametrize("width", WIDTHS)
def test_letters_stay_readable(measured: dict[Any, Any], width: int) -> None:
    assert measured[width]["rings"] == 4, "the page was drawn"
    assert measured[width]["smallest"] >= 11


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_asks_for_nothing(measured: dict[Any, Any], width: int) -> None:
    assert measured[width]["requests"] == []
    assert measured["asked for"] == []


def test_a_page_that_did_ask_would_be_noticed(browser: str, tmp_path: Path) -> None:
    """The log that the test above reads does hold what a page asks for."""
    page, log = tmp_path / "page.html", tmp_path / "net.json"
    page.write_text('<img src="http://cdmflow.invalid/x.png">', encoding="utf-8")
    subprocess.run(
        [
            browser, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", f"--log-net-log={log}", "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert "http://cdmflow.invalid/x.png" in addresses(log)
