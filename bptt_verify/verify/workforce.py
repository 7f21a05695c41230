"""Many examples on somebody's executor; what a dying worker leaves undone is done alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from typing import Any

from bptt_verify.errors import UsageError
from bptt_verify.verify.examples import Result, Task, examined

AHEAD = 64  # examples that are handed out at a time

Keep = Callable[[Result], None]


def run_examples(task: Task, todo: Iterable[int], executor: Executor | None, keep: Keep) -> int:
    """Run examples, and hand each to ``keep`` as soon as it is there.

    Returns
    -------
    int
        How many were run again, alone, since their worker died.
    """
    if executor is None:
        for k in todo:
            keep(examined(task, k))
        return 0
    lost = _shared_out(task, iter(todo), executor, keep)
    _alone(task, lost, getattr(executor, "_mp_context", None), keep)
    return len(lost)


def _shared_out(task: Task, todo: Iterator[int], executor: Executor, keep: Keep) -> list[int]:
    """Run on the executor; the examples that it lost."""
    pending: dict[Future[Result], int] = {}
    lost: list[int] = []
    try:
        while True:
            lost += _hand_out(task, todo, executor, pending)
            if not pending:
                return sorted(lost)
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                k = pending.pop(future)
                result = _result(future, task)
                if result is None:
                    lost.append(k)
                else:
                    keep(result)
    finally:
        for future in pending:
            future.cancel()


def _hand_out(
    task: Task, todo: Iterator[int], executor: Executor, pending: dict[Future[Result], int]
) -> list[int]:
    """Submit until enough is pending; all that is left, where the executor is broken."""
    while len(pending) < AHEAD:
        k = next(todo, None)
        if k is None:
            break
        try:
            pending[executor.submit(examined, task, k)] = k
        except BrokenExecutor:
            return [k, *todo]
        except RuntimeError as error:
            raise UsageError(f"executor={executor!r:.60}: {error}; expected one that is running.") from error
    return []


def _result(future: Future[Result], task: Task) -> Result | None:
    """The result; None if the worker was lost."""
    try:
        return future.result()
    except UsageError:
        raise
    except Exception as error:  # whatever an executor says of a worker that is gone: each has its own
        if "pickle" in f"{type(error).__name__} {error}".lower():
            raise UsageError(unsendable(task.fn, error)) from error
        return None


def unsendable(fn: Any, error: BaseException) -> str:
    """What to say of a function that no other process can be sent."""
    name = getattr(fn, "__qualname__", type(fn).__name__)
    return (
        f"fn={name}: it cannot be sent to another process ({error}); expected a function at the top level "
        "of a module that can be imported; a recurrence, a loss and inputs likewise. Or use a thread pool, "
        "or no executor."
    )


def _alone(task: Task, lost: Iterable[int], context: Any, keep: Keep) -> None:
    """Each example in a process of its own, if need be: one that kills it again is named."""
    pool: ProcessPoolExecutor | None = None
    for k in lost:
        pool = pool or ProcessPoolExecutor(1, mp_context=context)
        result = _result(pool.submit(examined, task, k), task)
        if result is None:
            pool.shutdown()
            pool = None
            said = "the process that ran it died, also when it ran this example alone"
            result = Result(k, "crashed", {}, (said,))
        keep(result)
    if pool is not None:
        pool.shutdown()
