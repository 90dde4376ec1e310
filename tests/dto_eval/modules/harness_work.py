"""Work for tests of the pool."""

import os
import signal
import time
from functools import partial
from pathlib import Path

from dto_eval.pool import run_tasks


class Blind:
    """An environment that cannot be rendered."""

    metadata = {"render_modes": ["rgb_array"]}

    def __init__(self, render_mode=None):
        raise RuntimeError("no screen")


def doubler():
    def work(task):
        yield task
        yield 2 * task

    return work


def report_environment():
    def work(task):
        yield os.environ.get("OMP_NUM_THREADS"), os.getpid()

    return work


def mortal(mark, lives, signal_number=signal.SIGKILL):
    """Task 1 kills its process in the middle, ``lives`` times in all."""

    def work(task):
        yield task
        if task == 1:
            deaths = len(list(Path(mark).iterdir()))
            if deaths < lives:
                (Path(mark) / str(deaths)).touch()
                time.sleep(0.05)
                os.kill(os.getpid(), signal_number)
        yield 10 * task

    return work


def starved():
    def work(task):
        raise MemoryError
        yield

    return work


def clumsy():
    def work(task):
        yield 1 // task

    return work


def stays_calm():
    """Interrupts its own process, as the keyboard does to every process of a terminal."""

    def work(task):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        yield task

    return work


def hopeless():
    raise ValueError("cannot even start")


def lingering(folder):
    """Writes its process id, then yields for ever."""
    (Path(folder) / str(os.getpid())).touch()

    def work(task):
        while True:
            time.sleep(0.05)
            yield task

    return work


def linger(folder):
    """A parent that waits for a worker that never ends."""
    for _ in run_tasks(partial(lingering, folder), [0], 1):
        pass
