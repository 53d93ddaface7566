"""Airflow's REST API v2, as much of it as the command line needs."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from etl.config import Settings
from etl.errors import CdmflowError
from etl.services import airflow_home, ports

TIMEOUT_S = 20
PAGE = 100  # the server's maximum
# the api-server is ours and local; a proxy of the environment must not see its tokens
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ApiError(CdmflowError):
    """The api-server answered with an error; `status` is HTTP's."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status


class ApiUnreachable(CdmflowError):
    """Nobody answers at the api-server's port."""


@dataclass(frozen=True)
class Client:
    url: str
    token: str

    def get(self, path: str, **query: str | int) -> Any:
        return request("GET", f"{self.url}{path}{'?' if query else ''}{urllib.parse.urlencode(query)}", self.token)

    def post(self, path: str, body: Mapping[str, object]) -> Any:
        return request("POST", self.url + path, self.token, body)

    def patch(self, path: str, body: Mapping[str, object]) -> Any:
        return request("PATCH", self.url + path, self.token, body)

    def get_all(self, path: str, key: str, **query: str | int) -> list[Any]:
        """All pages of a collection."""
        found: list[Any] = []
        while True:
            page = self.get(path, limit=PAGE, offset=len(found), **query)
            found += page[key]
            if not page[key] or len(found) >= page["total_entries"]:
                return found


def base_url(settings: Settings) -> str | None:
    """http://127.0.0.1:port of this home's api-server; None before its first start."""
    port = ports.remembered(settings.airflow_home / airflow_home.PORT_NAME)
    return None if port is None else f"http://{ports.LOOPBACK}:{port}"


def log_in(settings: Settings) -> Client:
    """A client with a fresh token (it lasts a day)."""
    url, password = base_url(settings), airflow_home.password(settings)
    if url is None or password is None:
        raise ApiUnreachable("Airflow was never started in this home.", todo="Run `./cdmflow start`.")
    answer = request("POST", f"{url}/auth/token", None, {"username": airflow_home.USER, "password": password})
    return Client(url, answer["access_token"])


def health(settings: Settings) -> dict[str, str]:
    """Component → "healthy", "unhealthy" …; empty while the api-server does not answer."""
    url = base_url(settings)
    if url is None:
        return {}
    try:
        answer = request("GET", f"{url}/api/v2/monitor/health", None, timeout_s=3)
    except (ApiUnreachable, ApiError):
        return {}
    return {name: str(part["status"]) for name, part in answer.items() if part and part.get("status")}


def quoted(text: str) -> str:
    """A DAG or run id as a part of a path (`manual__2026-11-23T21:00:00+00:00`)."""
    return urllib.parse.quote(text, safe="")


def request(
    method: str, url: str, token: str | None, body: Mapping[str, object] | None = None, timeout_s: float = TIMEOUT_S
) -> Any:
    """The answer's JSON. Errors: ApiError with the server's reason, ApiUnreachable."""
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    call = urllib.request.Request(url, data=data, headers=headers, method=method)
    try:
        with _OPENER.open(call, timeout=timeout_s) as response:
            return json.loads(response.read() or b"null")
    except urllib.error.HTTPError as error:
        raise ApiError(error.code, f"Airflow refused {method} {_path(url)}: {error.code} {_reason(error)}") from None
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise ApiUnreachable(f"Airflow's api-server does not answer at {url}: {error}.") from None


def wait_until(deadline_s: float, interval_s: float) -> bool:
    """Sleeps one interval; False when the deadline (of time.monotonic) has passed."""
    time.sleep(interval_s)
    return time.monotonic() < deadline_s


def _path(url: str) -> str:
    return urllib.parse.urlsplit(url).path


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        detail = json.loads(error.read()).get("detail", "")
    except (ValueError, AttributeError):
        return error.reason
    return detail if isinstance(detail, str) else json.dumps(detail)
