"""Data Docs that a browser opens from the disk: Great Expectations' own page renderer, our self-contained page.

Its default pages load thirteen remote scripts and styles and copy 4 MB of fonts; ours have one style inside, no script.
"""

import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult
from great_expectations.render import RenderedHeaderContent
from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
from great_expectations.render.view import DefaultJinjaPageView
from jinja2 import ChoiceLoader, FileSystemLoader

from etl.quality.decision import Decision
from etl.quality.gx.session import answers

TEMPLATES = Path(__file__).parent / "templates"
REMOTE = re.compile(r"""(?:src|href|url)\s*[=(]\s*["']?\s*(?:https?:)?//""", re.IGNORECASE)


class PageRenderer(ValidationResultsPageRenderer):  # type: ignore[misc]
    """The page of one suite. Its header links nowhere: the suites are files of the project, without pages."""

    @classmethod
    def _render_validation_header(cls, validation_results: ExpectationSuiteValidationResult) -> RenderedHeaderContent:
        outcome = "all hold" if validation_results.success else "not all hold"
        return RenderedHeaderContent(content_block_type="header", header=f"{validation_results.suite_name}: {outcome}")


class PageView(DefaultJinjaPageView):  # type: ignore[misc]
    """Great Expectations' view with our page around its sections."""

    def __init__(self) -> None:
        super().__init__()
        self.env.loader = ChoiceLoader([FileSystemLoader(str(TEMPLATES)), self.env.loader])


def write_report(
    directory: Path,
    title: str,
    results: Sequence[ExpectationSuiteValidationResult],
    decision: Decision,
) -> Path:
    """Write index.html and <suite>.html of each suite into `directory`; the index's path.

    `results` must have been stripped. A page that would load anything from elsewhere is an error of ours.
    """
    directory.mkdir(parents=True, exist_ok=True)
    renderer, view = PageRenderer(), PageView()
    for result in results:
        page = view.render(renderer.render(result))
        _write(directory / f"{result.suite_name}.html", page)
    index = view.env.get_template("index.j2").render(
        title=title,
        decision=decision,
        suites=[_row(result) for result in results],
    )
    _write(directory / "index.html", index)
    return directory / "index.html"


def _row(result: ExpectationSuiteValidationResult) -> dict[str, Any]:
    given = list(answers([result]))
    return {
        "name": html.escape(result.suite_name),
        "evaluated": len(given),
        "critical": sum(not one.success and one.severity == "critical" for one in given),
        "other": sum(not one.success and one.severity != "critical" for one in given),
    }


def _write(path: Path, page: str) -> None:
    if REMOTE.search(page):
        raise AssertionError(f"{path.name} would load something from elsewhere")
    path.write_text(page, encoding="utf-8")
