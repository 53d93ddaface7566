from pathlib import Path

import pytest
from landing_helpers import Clinic, open_clinic

from etl.postgres import Database


@pytest.fixture
def clinic(home: Path, fresh_database: Database, tmp_path: Path) -> Clinic:
    return open_clinic(fresh_database, tmp_path)
