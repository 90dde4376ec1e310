"""How benchmarks measure: in CPU time, in which other processes on the machine count for little."""

from __future__ import annotations

import os
import time
from collections.abc import Callable


def cpu_seconds(function: Callable[[], object]) -> float:
    """CPU time of one call."""
    start = time.process_time()
    function()
    return time.process_time() - start


def cpu_times(function: Callable[[], object], repeats: int) -> list[float]:
    """CPU seconds of each of ``repeats`` calls, after one that does not count."""
    function()
    return [cpu_seconds(function) for _ in range(repeats)]


def seconds_per_call(function: Callable[[], object], repeats: int) -> float:
    """CPU seconds of a call, in the best of three rounds of ``repeats`` calls."""

    def some() -> None:
        for _ in range(repeats):
            function()

    return min(cpu_seconds(some) for _ in range(3)) / repeats


def machine() -> str:
    """The machine's cores and load, which figures should be read with."""
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
