"""./cdmflow itself, in a small project of its own: an empty lock file needs no network, uv is the project's."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

STUB = """\
import os, sys
print(sys.argv[1:], os.getcwd(), sys.prefix, os.environ["PYTHONPATH"])
sys.exit(int(os.environ.get("STUB_EXIT", "0")))
"""


@pytest.fixture
def small_project(project: Path, tmp_path: Path) -> Path:
    if not (project / ".tools" / "bin" / "uv").exists():
        pytest.skip("uv is not in .tools: this environment was not made by ./cdmflow")
    folder = tmp_path / "a project"
    (folder / "etl").mkdir(parents=True)
    (folder / "etl" / "cli.py").write_text(STUB)
    (folder / "requirements.lock").write_text("")
    (folder / ".tools").symlink_to(project / ".tools")
    shutil.copy(project / "cdmflow", folder / "cdmflow")
    return folder


def cdmflow(
    folder: Path, *arguments: str, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [folder / "cdmflow", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd or folder,
        env=dict(os.environ) | environment,
        check=False,
    )


def test_the_first_use_sets_up_and_the_next_ones_say_nothing(small_project: Path) -> None:
    first = cdmflow(small_project, "status")
    assert first.returncode == 0, first.stderr
    assert "setting up the environment" in first.stderr
    again = cdmflow(small_project, "status")
    assert (again.returncode, again.stderr) == (0, "")


def test_arguments_exit_code_and_the_callers_folder_are_kept(small_project: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = elsewhere / "link"
    link.symlink_to(small_project / "cdmflow")
    cdmflow(small_project)
    result = subprocess.run(
        [link, "sql", "SELECT 'a  b'"],
        capture_output=True,
        text=True,
        cwd=elsewhere,
        env=dict(os.environ) | {"STUB_EXIT": "3"},
        check=False,
    )
    assert result.returncode == 3
    wanted = f"""['sql', "SELECT 'a  b'"] {elsewhere} {small_project / ".venv"} {small_project}\n"""
    assert result.stdout == wanted


def test_later_uses_start_quickly(small_project: Path) -> None:
    cdmflow(small_project)
    fastest = 1.0
    for _ in range(5):
        begin = time.perf_counter()
        cdmflow(small_project)
        fastest = min(fastest, time.perf_counter() - begin)
    assert fastest < 0.5  # measured 0.02 s, Python included; the rest is for a busy machine


def test_a_changed_lock_file_is_followed(small_project: Path) -> None:
    cdmflow(small_project)
    (small_project / "requirements.lock").write_text("# changed\n")
    assert "the environment is ready" in cdmflow(small_project).stderr
    assert cdmflow(small_project).stderr == ""


def test_an_interrupted_setup_is_repaired(small_project: Path) -> None:
    cdmflow(small_project)
    half = small_project / ".venv"
    (half / "requirements.lock").unlink()  # written last: without it the setup did not finish
    (half / "bin" / "python").unlink()
    (half / "debris").write_text("left by a killed setup")
    result = cdmflow(small_project)
    assert result.returncode == 0, result.stderr
    assert not (half / "debris").exists()


def test_an_environment_whose_python_is_gone_is_made_again(small_project: Path) -> None:
    cdmflow(small_project)
    python = small_project / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nonexistent/python3.11")
    assert cdmflow(small_project).returncode == 0


def test_two_first_uses_at_once_share_one_setup(small_project: Path) -> None:
    running = [
        subprocess.Popen([small_project / "cdmflow", "x"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0, 0], outputs
    assert sum("the environment is ready" in errors for _, errors in outputs) == 1


def test_a_missing_pip_is_named_with_the_command_that_installs_it(small_project: Path, tmp_path: Path) -> None:
    (small_project / ".tools").unlink()
    programs = tmp_path / "bin"
    programs.mkdir()
    without_pip = programs / "python3"
    without_pip.write_text('#!/bin/sh\n[ "$2" = pip ] && exit 1\nexit 0\n')
    without_pip.chmod(0o755)
    result = cdmflow(small_project, PATH=f"{programs}:/usr/bin:/bin")
    assert result.returncode == 1
    assert "apt-get install python3-pip" in result.stderr


def test_packages_that_break_their_hash_are_refused(small_project: Path) -> None:
    wrong = "six==1.17.0 --hash=sha256:" + "0" * 64 + "\n"
    (small_project / "requirements.lock").write_text(wrong)
    result = cdmflow(small_project, UV_OFFLINE="1")
    assert result.returncode == 1
    assert "could not be installed" in result.stderr
    assert not (small_project / ".venv" / "requirements.lock").exists()
