"""docker-compose.yml must not drift from the embedded server."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from etl.postgres.cluster import CONFIGURATION


@pytest.fixture
def services(project: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((project / "docker-compose.yml").read_text())["services"])


def test_every_published_port_is_on_loopback(services: dict[str, Any]) -> None:
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_postgres_in_docker_is_configured_like_the_embedded_one(services: dict[str, Any]) -> None:
    embedded = dict(re.findall(r"^(\w+) = '?([^'\n]*)'?$", CONFIGURATION, flags=re.MULTILINE))
    options = [word.removeprefix("--").split("=", 1) for word in services["postgres"]["command"][1:]]
    assert {name: value for name, value in options if embedded.get(name) != value} == {}


def test_no_password_stands_in_the_file(services: dict[str, Any]) -> None:
    environment = services["postgres"]["environment"]
    assert [name for name in environment if "PASSWORD" in name] == ["POSTGRES_PASSWORD_FILE"]


def test_docker_runs_the_airflow_version_of_the_lock_file(project: Path, services: dict[str, Any]) -> None:
    locked = re.search(r"^apache-airflow==(\S+)", (project / "requirements.lock").read_text(), flags=re.MULTILINE)
    assert locked is not None
    images = {service["image"] for service in services.values() if "airflow" in service["image"]}
    assert images == {f"apache/airflow:{locked[1]}-python3.11"}
