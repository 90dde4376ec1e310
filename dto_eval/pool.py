"""A pool of worker processes that survives the death of a worker.

The standard pools give up when a process dies (``ProcessPoolExecutor``) or wait for ever (``multiprocessing.Pool``).
Here a task whose worker dies, by a segmentation fault or for want of memory, is given to a new worker, a bounded number
of times; an exception, on the other hand, would only come again, and ends the run.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any, Literal

MAX_ATTEMPTS = 3
_MEMORY_EXIT = 86
_ONE_THREAD: dict[str, str] = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)

Work = Callable[[Any], Iterator[Any]]
"""Does one task and yields its results as they come."""


class TaskFailedError(Exception):
    """A task raised in its worker. ``cause`` is the exception's type and message, ``trace`` the worker's traceback."""

    def __init__(self, task: int, cause: str, trace: str) -> None:
        """Describe the failure of task number ``task``."""
        super().__init__(cause)
        self.task = task
        self.trace = trace


class WorkerDiedError(Exception):
    """A task has cost as many workers as it may; the message names how the last one died."""

    def __init__(self, task: int, reason: str) -> None:
        """Describe the failure of task number ``task``."""
        super().__init__(f"its worker died {MAX_ATTEMPTS} times, at last {reason}")
        self.task = task


@dataclass(frozen=True)
class Event:
    """What happened to a task.

    Attributes:
        kind: ``result`` (one of possibly many), ``finished``, or ``retry`` after its worker died; after a retry the
            task starts over and its results come again.
        task: index of the task.
        value: the result, or the reason of the retry.
    """

    kind: Literal["result", "finished", "retry"]
    task: int
    value: Any = None


def run_tasks(setup: Callable[[], Work], tasks: Sequence[Any], workers: int) -> Iterator[Event]:
    """Run ``tasks`` on ``workers`` processes and yield what happens, in the order in which it does.

    Every worker calls ``setup`` once and then the callable that it returned for each task. Processes are spawned, so
    that no lock or thread of the parent is copied, with every numerical library held to one thread; they ignore the
    keyboard's interrupt and end with their parent, however it ends.

    Args:
        setup: picklable, such as a function of a module or a partial of one.
        tasks: picklable; handed out in this order.
        workers: number of processes, at least 1; no more are started than there are tasks.

    Raises:
        TaskFailedError: a task raised an exception.
        WorkerDiedError: the workers of one task died ``MAX_ATTEMPTS`` times.
    """
    if workers < 1:
        raise ValueError(f"there must be at least one worker, not {workers}")
    queue = deque(range(len(tasks)))
    attempts = [0] * len(tasks)
    crew = [_Worker(setup) for _ in range(min(workers, len(tasks)))]
    try:
        for worker in crew:
            worker.give(queue.popleft(), tasks)
        while busy := {worker.connection: worker for worker in crew if worker.task is not None}:
            for connection in multiprocessing.connection.wait(list(busy)):
                worker = busy[connection]  # type: ignore[index]
                event = worker.receive()
                yield event
                if event.kind == "retry":
                    attempts[event.task] += 1
                    if attempts[event.task] >= MAX_ATTEMPTS:
                        raise WorkerDiedError(event.task, event.value)
                    crew[crew.index(worker)] = worker = _Worker(setup)
                    queue.appendleft(event.task)
                if event.kind != "result" and queue:
                    worker.give(queue.popleft(), tasks)
    finally:
        for worker in crew:
            worker.stop()


class _Worker:
    """The parent's end of one worker process."""

    def __init__(self, setup: Callable[[], Work]) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(setup, theirs), daemon=True)
        self.task: int | None = None
        with _environment(_ONE_THREAD), _interrupts_held():
            self.process.start()
        theirs.close()

    def give(self, task: int, tasks: Sequence[Any]) -> None:
        self.task = task
        # A worker that is dead by now is noticed when its connection is read.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(tasks[task])

    def receive(self) -> Event:
        """The worker's next message, or its death, as an event."""
        assert self.task is not None
        task = self.task
        try:
            kind, value = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            self.task = None
            return Event("retry", task, _death(self.process.exitcode))
        if kind == "failed":
            raise TaskFailedError(task, *value)
        if kind == "finished":
            self.task = None
        return Event(kind, task, value)

    def stop(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.join(timeout=5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()


def _serve(setup: Callable[[], Work], connection: Connection) -> None:
    """The worker process: do one task after the other until the parent hangs up."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        work = setup()
        while True:
            task = connection.recv()
            for result in work(task):
                connection.send(("result", result))
            connection.send(("finished", None))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except MemoryError:
        os._exit(_MEMORY_EXIT)
    except Exception as error:
        text = str(error) if _speaks_for_itself(error) else f"{type(error).__name__}: {error}"
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.send(("failed", (text, traceback.format_exc())))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _speaks_for_itself(error: Exception) -> bool:
    """True for this project's own exceptions, whose messages need no type in front."""
    return type(error).__module__.partition(".")[0] in {"dto_envs", "dto_agents", "dto_eval"}


def _death(exitcode: int | None) -> str:
    if exitcode == _MEMORY_EXIT:
        return "for want of memory"
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name if -exitcode in set(signal.Signals) else str(-exitcode)
        return f"by {name}" + (" (often the system, for want of memory)" if name == "SIGKILL" else "")
    return f"with exit code {exitcode}"


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold the keyboard's interrupt back; processes started meanwhile hold it back from their first instruction on."""
    resource_tracker.ensure_running()  # started with the first process otherwise, which lifts the hold
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set environment variables for a while; processes started meanwhile keep them."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
