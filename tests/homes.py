"""Homes of tests: folders that the database's system user can enter, removed with their servers."""

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from etl import config
from etl.config import Settings
from etl.postgres import remove_server


def settings_of(folder: Path) -> Settings:
    """The settings of a home with the embedded server, whatever the environment says."""
    return replace(config.settings(), home=folder, database_url=None)


def make_home() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="cdmflow-test-"))
    folder.chmod(0o711)
    return folder.resolve()


def remove_home(folder: Path) -> None:
    remove_server(settings_of(folder))
    shutil.rmtree(folder, ignore_errors=os.geteuid() != 0)
