"""A whole run in one process: the same steps as the nightly DAG, each as soon as those before it are done."""

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from etl import quality
from etl.config import settings
from etl.errors import CdmflowError, DatabaseUnavailable, DiskFull
from etl.log import get_logger
from etl.pipeline.failures import told_plainly
from etl.pipeline.resume import finished_steps
from etl.pipeline.runs import close_run, load_run, record, run_lock
from etl.pipeline.steps import Step, steps
from etl.pipeline.tasks import StepResult, run_step

log = get_logger(__name__)

Progress = Callable[[str, Step, StepResult | None], None]  # "started" | "done" | "failed"


def run_steps(
    run_id: str, *, workers: int | None = None, progress: Progress | None = None, resume: bool = False
) -> list[StepResult]:
    """Run all steps of an opened run and close it; the results in the order in which they ended.

    `resume` leaves out the steps that an earlier process finished; Locked while that process is still at work. On the
    first error no further step starts, those under way end, the run is closed as failed and the error raised.
    Publishing starts only after every step before it, so an error leaves the last release as it was. A drop that brings
    nothing new ends after landing: the release stays.
    """
    failed, is_ours = True, not resume
    message = None
    try:
        with told_plainly(f"Run {run_id}"), run_lock(run_id):
            is_ours = True
            if resume:
                record(run_id, status="running", ended_at=None, message=None)
            quality.warm_up()
            finished = finished_steps(load_run(run_id)) if resume else frozenset[str]()
            results = _run_all(run_id, finished, workers or settings().workers, progress or (lambda *_: None))
        failed = False
        return results
    except CdmflowError as error:
        message = error.what.splitlines()[0][:500]
        raise
    finally:
        if is_ours:
            _close(run_id, failed, message)


def _close(run_id: str, failed: bool, message: str | None) -> None:
    """End the run's record; where the database is what failed, the next run that takes the lock ends it."""
    try:
        with told_plainly(f"Closing run {run_id}"):
            close_run(run_id, failed=failed, message=message)
    except (DatabaseUnavailable, DiskFull) as error:
        if not failed:
            raise
        log.warning("%s", error.what)


def _run_all(run_id: str, finished: frozenset[str], workers: int, progress: Progress) -> list[StepResult]:
    waiting = [step for step in _most_urgent_first(steps(load_run(run_id).source)) if step.name not in finished]
    running: dict[Future[StepResult], Step] = {}
    done: dict[str, StepResult] = {}
    error: BaseException | None = None
    with ThreadPoolExecutor(workers, thread_name_prefix="step") as pool:
        while running or (waiting and error is None):
            ready = [step for step in waiting if set(step.upstream) <= {*finished, *done}] if error is None else []
            for step in ready[: workers - len(running)]:
                waiting.remove(step)
                progress("started", step, None)
                running[pool.submit(run_step, run_id, step.name)] = step
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                step = running.pop(future)
                failure = future.exception()
                if failure is not None:
                    error = error or failure
                    progress("failed", step, None)
                    continue
                done[step.name] = future.result()
                progress("done", step, done[step.name])
                if step.name == "land" and load_run(run_id).status == "unchanged":
                    waiting.clear()
    if error is not None:
        raise error
    return list(done.values())


def _most_urgent_first(all_steps: tuple[Step, ...]) -> list[Step]:
    """Steps with the longest chain behind them first, so that the last ones do not wait for a late start."""
    behind: dict[str, int] = {}
    for step in reversed(all_steps):
        followers = [other for other in all_steps if step.name in other.upstream]
        behind[step.name] = 1 + max((behind.get(other.name, 0) for other in followers), default=0)
    return sorted(all_steps, key=lambda step: -behind[step.name])
