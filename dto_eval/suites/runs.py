"""The runs behind a suite's tables: ordinary evaluations, each in a folder of its own under the suite's.

A run that is complete is read, one that was interrupted goes on, a run folder of ``dto-eval --out`` put there counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dto_eval.run_folder import FinishedRun
from dto_eval.suites import SuiteOptions

RUNS = "runs"


@dataclass(frozen=True)
class Planned:
    """One run of a suite.

    Attributes:
        env_id: environment id.
        agent: name on the boards.
        episodes: number of episodes.
        filter_options: options of the filter where they differ from its own.
        label: names the folder where options are not enough to tell runs apart.
        base: base policy of an agent that has no name of its own; ``agent`` is what reports call it.
        filter: its filter.
        weights: folder with trained weights; None for those that ``dto-eval`` was given, or the shipped ones.
    """

    env_id: str
    agent: str
    episodes: int
    filter_options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    weights: Path | None = None
    label: str = ""
    base: str | None = None
    filter: str | None = None

    @property
    def folder(self) -> Path:
        """Where it lies below the suite's runs: ``Square/diffog-alpha1-300``."""
        task = self.env_id.removeprefix("dto/").rsplit("-v", 1)[0]
        numbers = {name: value for name, value in self.filter_options.items() if isinstance(value, int | float)}
        chosen = "".join(f"-{name}{value:g}" for name, value in sorted(numbers.items()))
        return Path(task, f"{self.agent}{chosen}{self.label and '-'}{self.label}-{self.episodes}")


@dataclass(frozen=True, eq=False)
class Done:
    """A complete run and its figures.

    Attributes:
        run: records and actions.
    """

    run: FinishedRun

    @cached_property
    def summary(self) -> dict[str, Any]:
        """See :func:`dto_eval.summary.summarize`."""
        from dto_eval.summary import summarize

        return summarize(self.run)

    @property
    def episodes(self) -> int:
        """Their number."""
        return len(self.run.episodes)


class Runs:
    """Gives the runs of a suite, simulating what is not there."""

    def __init__(self, options: SuiteOptions) -> None:
        """Keep runs in the folder of the suite that ``options`` describe."""
        self._options = options
        self._done: dict[Path, Done | None] = {}

    def get(self, planned: Planned) -> Done | None:
        """The run, or None where its weights have not been trained.

        Raises:
            ValueError: an agent or option that does not exist.
            dto_eval.run_folder.RunFolderError: its folder holds another run.
            dto_eval.evaluate.EvaluationError: an agent or environment failed.
        """
        if planned.folder not in self._done:
            self._done[planned.folder] = self._play(planned)
        return self._done[planned.folder]

    def _play(self, planned: Planned) -> Done | None:
        from dto_agents.zoo import MissingWeightsError
        from dto_eval.evaluate import evaluate, resolve_protocol

        weights = planned.weights or self._options.weights
        try:
            protocol = resolve_protocol(
                planned.env_id,
                planned.agent,
                base=planned.base,
                filter=planned.filter,
                filter_options=dict(planned.filter_options),
                weights=weights,
                episodes=planned.episodes,
            )
        except MissingWeightsError as error:
            self._options.console.print(f"left out: {error}", highlight=False)
            return None
        out = self._options.out / RUNS / planned.folder
        outcome = evaluate(protocol, out, workers=self._options.workers, weights=weights, console=self._options.console)
        return Done(outcome.finished)
