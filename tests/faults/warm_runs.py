"""Runs in processes that can be killed: children of one process that has everything imported already.

Great Expectations takes 3 to 5 s to import, more than a run of three patients; a forked child starts with it. The
process that forks runs nothing itself, so that no thread and no connection is there to be copied.
"""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
RUN_TIMEOUT_S = 300


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit status (negative: the signal), the error it told of, the steps it finished."""

    status: int
    error: str
    done: tuple[str, ...]

    @property
    def was_killed(self) -> bool:
        return self.status == -signal.SIGKILL


@dataclass(frozen=True)
class Moment:
    """Some seconds after a step has begun; `strike` is given the process's id."""

    step: str
    delay_s: float
    strike: Callable[[int], None] = field(default=lambda pid: os.kill(pid, signal.SIGKILL), repr=False)


@dataclass(frozen=True)
class Boundary:
    """`at`: "before" a step begins, "unrecorded" when its work is done, "after" it is recorded."""

    step: str
    at: str


class Warm:
    """The process that forks. Its children stay zombies until the next one, so their ids are nobody else's."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def run(self, run_id: str, kill: Moment | Boundary | None = None) -> Ended:
        """Take a run through its remaining steps in a new process, and kill that as told."""
        die = [kill.at, kill.step] if isinstance(kill, Boundary) else None
        self._tell({"run": run_id, "die": die})
        pid, error, done = int(self._heard("pid")), "", []
        while True:
            word, said = self._next()
            if word == "exit":
                return Ended(int(said), error, tuple(done))
            if word == "started" and isinstance(kill, Moment) and said == kill.step:
                time.sleep(kill.delay_s)
                kill.strike(pid)
            elif word == "done":
                done.append(said)
            elif word == "error":
                error = said

    def _tell(self, command: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def _heard(self, wanted: str) -> str:
        word, said = self._next()
        assert word == wanted, (word, said)
        return said

    def _next(self) -> tuple[str, str]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the process that forks has ended"
        word, _, said = line.rstrip("\n").partition(" ")
        return word, said


@contextmanager
def warm_runs(log: Path) -> Iterator[Warm]:
    """A process that forks runs of this process's CDMFLOW_HOME; what they write to stderr goes to `log`."""
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, __file__],
            cwd=PROJECT,
            env=os.environ | {"PYTHONPATH": str(PROJECT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            warm = Warm(process)
            warm._heard("ready")
            yield warm
        finally:
            process.communicate(timeout=RUN_TIMEOUT_S)  # closing its input ends it, after its last child


def serve() -> None:
    """Fork a child for every command line on stdin: one at a time."""
    from etl import quality
    from etl.pipeline import execute, scope, tasks

    scope.LARGEST_SHARE = 1.0
    quality.warm_up().join()
    _say("ready", "")
    child = 0
    for line in sys.stdin:
        if child:
            os.waitpid(child, 0)
        command = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(command, execute, tasks)
        _say("pid", child)
        outcome = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        assert outcome is not None
        _say("exit", -outcome.si_status if outcome.si_code != os.CLD_EXITED else outcome.si_status)


def _say(word: str, said: object) -> None:
    os.write(1, f"{word} {said}\n".encode())  # shorter than a pipe's buffer: never mixed with another line


def _run(command: dict[str, Any], execute: Any, tasks: Any) -> None:
    from etl.errors import CdmflowError

    at, step = command["die"] or ("", "")

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def progress(state: str, begun: Any, result: Any) -> None:
        if begun.name == step and (state, at) in (("started", "before"), ("done", "after")):
            die()
        _say(state, begun.name)

    remember = tasks._remember

    def remembering(run_id: str, result: Any) -> None:
        if (result.step, at) == (step, "unrecorded"):
            die()
        remember(run_id, result)

    tasks._remember = remembering
    time.sleep(0.05)  # the parent's line with this process's id comes first
    try:
        execute.run_steps(command["run"], resume=True, progress=progress)
    except CdmflowError as error:
        _say("error", f"{type(error).__name__} {error.what.splitlines()[0]}")
        os._exit(1)
    except BaseException:  # noqa: BLE001 - told to the test, which fails
        traceback.print_exc()
        _say("error", "a traceback")
        os._exit(2)
    os._exit(0)


if __name__ == "__main__":
    serve()
