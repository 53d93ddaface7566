"""A free port that a service keeps over restarts."""

import json
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"


def remembered(file: Path) -> int | None:
    try:
        return int(json.loads(file.read_text())["port"])
    except (FileNotFoundError, ValueError, KeyError):
        return None


def choose(file: Path) -> int:
    """The remembered port if nobody else took it meanwhile, else a free one, which is remembered."""
    port = remembered(file)
    if port is None or not _is_free(port):
        port = _free_port()
        file.write_text(json.dumps({"port": port}) + "\n")
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free for a server
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
