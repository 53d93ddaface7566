"""The world to publish in is shared with the fault tests."""

import sys
from pathlib import Path

import pytest

from etl.postgres import Database

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "faults"))

from publish_world import World, make_world


@pytest.fixture
def world(fresh_database: Database, home: Path) -> World:
    return make_world(fresh_database, home)
