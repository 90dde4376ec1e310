"""Worker processes for collecting and solving: spawned, deaf to the keyboard, and gone when their parent is."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from typing import Any


def process_pool(workers: int) -> Executor:
    """An executor of ``workers`` processes; of 1, one that runs what is submitted at once, in this process."""
    if workers == 1:
        return _ThisProcess()
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_follow_the_parent)


class _ThisProcess(Executor):
    """Runs what is submitted at once: a single worker needs no process of its own."""

    def submit(self, fn: Callable, /, *args: Any, **kwargs: Any) -> Future:
        future: Future = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def _follow_the_parent() -> None:
    """Leave interrupts to the parent process, and end with it even where it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
