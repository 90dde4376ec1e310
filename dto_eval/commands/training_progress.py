"""Show a training as it goes."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from dto_agents.training import Report


@contextmanager
def reporting(title: str, steps: int, console: Console, every_s: float = 10.0) -> Iterator[Report]:
    """Show training as it goes: a bar with the time left on a terminal, a line every ``every_s`` seconds elsewhere.

    Yields:
        A function of the finished steps and the last loss; the first call may carry NaN for steps done earlier.
    """
    meter = _Meter(steps)
    if not console.is_terminal:
        last = [time.monotonic()]

        def report_line(finished: int, loss: float) -> None:
            meter.update(finished, loss)
            now = time.monotonic()
            if math.isnan(loss) or finished == steps or now - last[0] >= every_s:
                last[0] = now
                console.print(f"{title}: step {finished}/{steps}  {meter.text()}", soft_wrap=True)

        yield report_line
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[text]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=steps, text="")

        def report_bar(finished: int, loss: float) -> None:
            meter.update(finished, loss)
            progress.update(task, completed=finished, text=meter.text())

        yield report_bar


class _Meter:
    """Steps per second since the start, a running mean of the loss, and the time that is left."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._began = time.monotonic()
        self._first = self._finished = 0
        self._loss = math.nan

    def update(self, finished: int, loss: float) -> None:
        """Count a step."""
        if math.isnan(loss):
            self._first, self._began = finished, time.monotonic()
        else:
            self._loss = loss if math.isnan(self._loss) else 0.99 * self._loss + 0.01 * loss
        self._finished = finished

    def text(self) -> str:
        """One line of figures."""
        rate = (self._finished - self._first) / max(time.monotonic() - self._began, 1e-9)
        if rate == 0:
            return f"starts at step {self._finished}"
        left = round((self._steps - self._finished) / rate)
        return f"loss {self._loss:.4f}  {rate:.1f} it/s  ETA {left // 60}:{left % 60:02d}"
