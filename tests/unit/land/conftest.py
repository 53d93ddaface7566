from pathlib import Path

import pytest
from landing_helpers import Clinic, make_contract

from etl.config import settings
from etl.postgres import Database
from etl.state import connect, create_tables


@pytest.fixture
def clinic(home: Path, fresh_database: Database, tmp_path: Path) -> Clinic:
    engine = connect(fresh_database.etl_url)
    create_tables(engine)
    return Clinic(settings(), engine, make_contract(tmp_path), tmp_path)
