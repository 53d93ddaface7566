"""The words are true: links lead somewhere, rules and commands that exist are told, and no others."""

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from typer.main import get_command

from etl.cli import app, register

PROJECT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
COMMAND = re.compile(r"\./cdmflow ([a-z]+)([^`\n]*)")
OPTION = re.compile(r"--[a-z][a-z-]*")
# a rule is what a CASE of the one file gives, or what either calls so
NAMED_RULE = re.compile(r"'([a-z_]+)'(?: END)? AS (?:own_)?rule\b")
CASE_RULE = re.compile(r"THEN '([a-z_]+)'")
MACHINE_PATH = re.compile(r"(?:^|[^A-Za-z0-9_.])/(?:work|farm|root|home/[a-z]+)/")
REGISTRY = re.compile("|".join(re.escape(name) for name in ("pypi" + ".org", "python" + "hosted", "npm" + "js.org")))
LARGEST_TEXT_BYTES = 2_000_000


@cache
def tracked_files() -> tuple[Path, ...]:
    """What git tracks or would track; skips where the project is no checkout."""
    listed = subprocess.run(
        ["git", "-C", str(PROJECT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("the project is not a git checkout, so what is tracked is unknown")
    return tuple(path for name in listed.stdout.split("\0") if name and (path := PROJECT / name).is_file())


def markdown_files() -> list[Path]:
    return [path for path in tracked_files() if path.suffix == ".md"]


def anchors(path: Path) -> set[str]:
    """The names that a link may end in: GitHub's for headings, and ids that are written out."""
    text = path.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    named = {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return named | set(re.findall(r'<a id="([^"]+)">', text))


def relative_links(path: Path) -> Iterator[tuple[str, str]]:
    """(file, anchor) of each link within the project."""
    for target in LINK.findall(path.read_text(encoding="utf-8")):
        if "://" not in target and not target.startswith("mailto:"):
            file, _, anchor = target.partition("#")
            yield file, anchor


def broken_links(path: Path) -> list[str]:
    found = []
    for file, anchor in relative_links(path):
        target = (path.parent / file).resolve() if file else path
        if not target.exists():
            found.append(f"{path.relative_to(PROJECT)}: {file} does not exist")
        elif anchor and anchor not in anchors(target):
            found.append(f"{path.relative_to(PROJECT)}: {file} has no heading {anchor}")
    return found


def rules_in_sql() -> set[str]:
    excluded = (PROJECT / "sql/3_map/excluded.sql").read_text(encoding="utf-8")
    account = (PROJECT / "sql/6_account/row_account.sql").read_text(encoding="utf-8")
    return set(CASE_RULE.findall(excluded)) | set(NAMED_RULE.findall(excluded + account))


@cache
def options_by_command() -> dict[str, set[str]]:
    """Every command of the command line with its options; a group's command as `mapping export`, the group bare."""
    if not app.registered_commands:
        register()
    group = get_command(app)
    commands = dict(getattr(group, "commands"))  # noqa: B009 - typer gives a click group, whose type it hides
    for name, command in list(commands.items()):
        commands |= {f"{name} {below}": sub for below, sub in getattr(command, "commands", {}).items()}
    return {
        name: {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        | {"--help"}
        for name, command in commands.items()
    }


def told_commands(path: Path) -> list[tuple[str, set[str]]]:
    """The commands that a page shows, each with the options up to the end of its code span or line."""
    text = path.read_text(encoding="utf-8")
    told = [(" ".join([command, *rest.split()[:1]]), command, rest) for command, rest in COMMAND.findall(text)]
    known = options_by_command()
    return [(both if both in known else command, set(OPTION.findall(rest))) for both, command, rest in told]


def test_every_link_leads_somewhere() -> None:
    broken = [problem for path in markdown_files() for problem in broken_links(path)]
    assert not broken, "\n".join(broken)


def test_a_broken_link_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "PROJECT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("# One word\n[here](#one-word) [no](#two) [gone](gone.md) [web](https://example.org/x)\n")
    assert broken_links(page) == ["page.md:  has no heading two", "page.md: gone.md does not exist"]


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set[Path](), [PROJECT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        targets = {(page.parent / file).resolve() for file, _ in relative_links(page) if file}
        waiting += [target for target in targets if target.suffix == ".md" and target not in reached]
    lost = [str(path.relative_to(PROJECT)) for path in markdown_files() if "docs" in path.parts and path not in reached]
    assert not lost, f"No page links to: {', '.join(lost)}"


def explained(heading: str) -> set[str]:
    """The names that begin a line of the table under this heading of docs/rules.md."""
    section = (PROJECT / "docs/rules.md").read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `([a-z_]+)` \|", section, flags=re.MULTILINE))


def test_every_exclusion_rule_is_explained_and_no_other() -> None:
    assert rules_in_sql(), "no rule was found in the SQL"
    assert explained("Exclusion rules") == rules_in_sql()


def test_every_flag_is_explained_and_no_other() -> None:
    flagged = (PROJECT / "sql/3_map/flagged.sql").read_text(encoding="utf-8")
    flags = set(re.findall(r"WHEN '([a-z_]+)' THEN", flagged))
    assert flags == set(re.findall(r"^ +\('([a-z_]+)'\)", flagged, flags=re.MULTILINE)), "two lists of flags"
    assert explained("Flags") == flags


def test_every_command_stands_in_the_readme() -> None:
    told = {command for command, _ in told_commands(PROJECT / "README.md")}
    told |= {command.split()[0] for command in told}
    missing = set(options_by_command()) - told
    assert not missing, f"The README does not tell: {', '.join(sorted(missing))}"


def test_every_command_in_the_pages_exists_with_its_options() -> None:
    unknown = []
    for page in markdown_files():
        for command, options in told_commands(page):
            known = options_by_command().get(command)
            if known is None:
                unknown.append(f"{page.relative_to(PROJECT)}: ./cdmflow {command}")
            elif not options <= known | {"--debug"}:
                missing = ", ".join(sorted(options - known))
                unknown.append(f"{page.relative_to(PROJECT)}: ./cdmflow {command} has no {missing}")
    assert not unknown, "\n".join(unknown)


def test_every_decision_has_its_four_parts_and_is_listed() -> None:
    listed = (PROJECT / "docs/decisions/README.md").read_text(encoding="utf-8")
    for page in sorted((PROJECT / "docs/decisions").glob("0*.md")):
        text = page.read_text(encoding="utf-8")
        parts = ("**Question.**", "**Measured.**", "**Chosen.**", "**What would change it.**")
        assert [text.find(part) for part in parts] == sorted(text.find(part) for part in parts), page.name
        assert all(part in text for part in parts), page.name
        assert f"({page.name})" in listed, f"docs/decisions/README.md does not list {page.name}"


def test_no_machine_path_and_no_package_registry_in_tracked_files() -> None:
    found = []
    for path in tracked_files():
        if path.stat().st_size > LARGEST_TEXT_BYTES:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            if REGISTRY.search(line) or (path.suffix != ".lock" and MACHINE_PATH.search(line)):
                found.append(f"{path.relative_to(PROJECT)}:{number}")
    assert not found, f"Absolute paths of a machine, or addresses of package registries: {', '.join(found)}"
