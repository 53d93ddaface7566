"""An api-server that is not there is told as such, with what to do."""

from pathlib import Path

import pytest

from etl.config import settings
from etl.services import airflow_api
from etl.services.ports import LOOPBACK, choose


def test_a_home_without_airflow_is_told_how_to_start_it(home: Path) -> None:
    with pytest.raises(airflow_api.ApiUnreachable, match=r"never started in this home\.\n.*cdmflow start"):
        airflow_api.log_in(settings())


def test_a_stopped_api_server_is_named_with_its_address(tmp_path: Path) -> None:
    url = f"http://{LOOPBACK}:{choose(tmp_path / 'port.json')}/auth/token"
    with pytest.raises(airflow_api.ApiUnreachable, match=f"does not answer at {url}"):
        airflow_api.request("GET", url, None, timeout_s=2)
