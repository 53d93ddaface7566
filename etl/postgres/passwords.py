"""Random passwords of a home's database accounts, kept in files that only their owner can read."""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from etl.errors import CdmflowError

FILE_NAME = "passwords.json"
PGPASS_NAME = "pgpass"


def stored(folder: Path, server: str) -> dict[str, str]:
    """Role → password known for one server ("embedded" or "host:port"); empty when none is known."""
    return dict(_read(folder / FILE_NAME).get(server, {}))


def ensure(folder: Path, server: str, roles: tuple[str, ...]) -> dict[str, str]:
    """Role → password, generated and written (mode 0600) before anything uses them."""
    path = folder / FILE_NAME
    everything = _read(path)
    known = everything.setdefault(server, {})
    missing = [role for role in roles if role not in known]
    if missing:
        known.update({role: secrets.token_urlsafe(24) for role in missing})
        write_private(path, json.dumps(everything, indent=2, sort_keys=True) + "\n")
    return dict(known)


def write_pgpass(folder: Path, host: str, port: int, role_passwords: Mapping[str, str]) -> Path:
    """libpq's password file: host:port:database:user:password a line; rewritten only when it changed."""
    path = folder / PGPASS_NAME
    lines = [f"{host}:{port}:*:{_escape(role)}:{_escape(password)}\n" for role, password in role_passwords.items()]
    text = "".join(lines)
    if not path.exists() or path.read_text() != text:
        write_private(path, text)
    return path


def write_private(path: Path, text: str) -> None:
    """Writes beside and renames, so that a reader sees the old or the new file and never a half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    beside.replace(path)


def _read(path: Path) -> dict[str, dict[str, str]]:
    try:
        content: dict[str, dict[str, str]] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except PermissionError:
        raise CdmflowError(
            f"The database passwords in {path} belong to another user.",
            todo="Run cdmflow as the user who created this home, or set CDMFLOW_HOME to a folder of your own.",
        ) from None
    return content


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace(":", "\\:")
