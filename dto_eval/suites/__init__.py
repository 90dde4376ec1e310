"""Suites: a paper's tables and figures, each from one command, ``dto-eval --suite NAME``, as a results page.

A suite is a module with a function ``run(options: SuiteOptions) -> Path`` that returns the page it wrote.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from rich.console import Console

# Name -> module. A line here is all that a new suite needs.
SUITES: Mapping[str, str] = MappingProxyType(
    {
        "diffog": "dto_eval.suites.diffog",
        "dlm": "dto_eval.suites.dlm",
        "iiwa-closed-loop": "dto_eval.suites.iiwa_closed_loop",
        "iiwa-solver": "dto_eval.suites.iiwa_solver",
        "leto": "dto_eval.suites.leto",
        "rc-car": "dto_eval.suites.rc_car",
        "rc-car-models": "dto_eval.suites.rc_car_models",
        "rc-car-real": "dto_eval.suites.rc_car_real",
    }
)


@dataclass(frozen=True)
class SuiteOptions:
    """What a suite may be told.

    Attributes:
        out: folder of the suite; the page, its tables and figures go there, and what is needed to resume.
        episodes: how much of each experiment to do, None for what the suite thinks right; its page shows the number.
        workers: number of processes.
        weights: root of a folder with trained weights, None for those shipped.
        boards: folder of the leaderboards' submissions, which need not be played again; None for playing everything.
        data: data that the suite reads, such as recordings, in the order the suite documents.
        console: where to show progress.
    """

    out: Path
    episodes: int | None = None
    workers: int = 1
    weights: Path | None = None
    boards: Path | None = None
    data: tuple[Path, ...] = ()
    console: Console = field(default_factory=lambda: Console(quiet=True))

    def count(self, default: int, meaning: str) -> int:
        """``episodes``, or ``default`` where that is None.

        Raises:
            ValueError: fewer than one; says with ``meaning`` what the suite counts.
        """
        count = default if self.episodes is None else self.episodes
        if count < 1:
            raise ValueError(f"--episodes must be at least 1, but is {count}: {meaning}")
        return count


def find_suite(name: str) -> Callable[[SuiteOptions], Path]:
    """The function that runs the suite called ``name``.

    Raises:
        ValueError: there is no such suite; names the nearest, or all.
    """
    if name not in SUITES:
        nearest = difflib.get_close_matches(name, SUITES, n=2, cutoff=0.4)
        raise ValueError(f"there is no suite {name!r}; choose {' or '.join(nearest or SUITES)}")
    return importlib.import_module(SUITES[name]).run
