"""What a user sees while an evaluation runs: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from dto_eval import statistics
from dto_eval.records import Episode
from dto_eval.shards import Shard

Key = tuple[str, int]

PLAIN_EVERY = 15.0  # seconds between plain lines
FIGURES_EVERY = 1.0  # seconds between new intervals
_RESAMPLES = 400


class EvaluationProgress:
    """Shows episodes done, the running result with its interval, episodes per second and the time left.

    The running result counts whole shards as soon as there is one: within a shard successes end early and failures
    late, so that its first episodes flatter.
    """

    def __init__(self, console: Console, shards: Iterable[Shard], done: Iterable[Episode], headline: str) -> None:
        """Show progress on ``console`` for a run of ``shards``, of which the episodes ``done`` are there already.

        Args:
            console: where to.
            shards: the whole plan.
            done: records of an earlier start.
            headline: the record field to show, ``success`` or ``score``.
        """
        self._console = console
        self._shard_of = {key: shard for shard in shards for key in shard.keys}
        self._field = "score" if headline == "score" else "success_once"
        self._name = "score" if headline == "score" else "success"
        self._values: dict[Key, float] = {}
        for episode in done:
            self._remember(episode)
        self._before = len(self._values)
        self._start = self._last = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> EvaluationProgress:
        """Start the live line, where there is a terminal."""
        self._start = self._last = time.monotonic()
        if self._console.is_terminal:
            columns = (BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn("{task.fields[figures]}"))
            self._bar = Progress(*columns, console=self._console, refresh_per_second=4)
            self._bar.start()
            self._bar.add_task("episodes", total=len(self._shard_of), completed=len(self._values), figures="starting")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show the last state and stop."""
        if self._bar is not None:
            self._refresh(self._bar)
            self._bar.stop()
        elif len(self._values) > self._before:
            self._console.print(self._plain(), highlight=False, soft_wrap=True)

    def add(self, episode: Episode) -> None:
        """Count a finished episode; one that a retry brings again counts once."""
        self._remember(episode)
        now = time.monotonic()
        if now - self._last < (PLAIN_EVERY if self._bar is None else FIGURES_EVERY):
            if self._bar is not None:
                self._bar.update(self._bar.task_ids[0], completed=len(self._values))
            return
        self._last = now
        if self._bar is None:
            self._console.print(self._plain(), highlight=False, soft_wrap=True)
        else:
            self._refresh(self._bar)

    def warn(self, text: str) -> None:
        """Print a line above the progress."""
        self._console.print(text, style="yellow", highlight=False, soft_wrap=True)

    def figures(self) -> str:
        """The running result, the rate and the time left, as text."""
        done, total = len(self._values), len(self._shard_of)
        elapsed = max(time.monotonic() - self._start, 1e-9)
        rate = (done - self._before) / elapsed
        left = _duration((total - done) / rate) if rate > 0 else "?"
        parts = [f"{rate:.2f} episodes/s", f"{left} left" if done < total else f"took {_duration(elapsed)}"]
        if values := self._whole_shards():
            result = statistics.mean_interval(statistics.table(values), resamples=_RESAMPLES)
            parts.insert(0, f"{self._name} {result.mean:.3f} [{result.lo:.3f}, {result.hi:.3f}]")
        return "  ".join(parts)

    def _remember(self, episode: Episode) -> None:
        self._values[episode.member, episode.init] = float(getattr(episode, self._field))

    def _whole_shards(self) -> dict[Key, float]:
        whole = {
            shard
            for shard in {self._shard_of[key] for key in self._values}
            if all(key in self._values for key in shard.keys)
        }
        if not whole:
            return self._values
        return {key: value for key, value in self._values.items() if self._shard_of[key] in whole}

    def _plain(self) -> str:
        return f"{len(self._values)}/{len(self._shard_of)} episodes  {self.figures()}"

    def _refresh(self, bar: Progress) -> None:
        bar.update(bar.task_ids[0], completed=len(self._values), figures=self.figures())


def _duration(seconds: float) -> str:
    """``h:mm:ss`` or ``m:ss``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
