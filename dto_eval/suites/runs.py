"""The runs behind a suite's tables: ordinary evaluations, each in a folder of its own under the suite's.

A run that is complete is read, one that was interrupted goes on, a run folder of ``dto-eval --out`` put there counts.
So does a complete run of more episodes: a suite that is shrunk with ``--episodes`` keeps what was played in full. What
was submitted to the leaderboards is read from there, with actions as rounded as they are archived, see
:mod:`dto_eval.boards.evidence`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dto_eval.records import Protocol
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
        return self.kind.with_name(f"{self.kind.name}-{self.episodes}")

    @property
    def kind(self) -> Path:
        """The folder's name without the number of episodes: ``Square/diffog-alpha1``."""
        task = self.env_id.removeprefix("dto/").rsplit("-v", 1)[0]
        numbers = {name: value for name, value in self.filter_options.items() if isinstance(value, int | float)}
        chosen = "".join(f"-{name}{value:g}" for name, value in sorted(numbers.items()))
        return Path(task, f"{self.agent}{chosen}{self.label and '-'}{self.label}")


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
        """The run, or a complete one of more episodes; None where its weights have not been trained.

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
        from dto_eval.evaluate import evaluate

        root = self._options.out / RUNS
        planned = replace(planned, episodes=_most_episodes(root, planned))
        try:
            protocol = self._protocol(planned)
        except MissingWeightsError as error:
            self._options.console.print(f"left out: {error}", highlight=False)
            return None
        if not (root / planned.folder).exists() and (submitted := self._submitted(planned)) is not None:
            return Done(submitted)
        outcome = evaluate(
            protocol,
            root / planned.folder,
            workers=self._options.workers,
            weights=planned.weights or self._options.weights,
            console=self._options.console,
        )
        return Done(outcome.finished)

    def _protocol(self, planned: Planned) -> Protocol:
        from dto_eval.evaluate import resolve_protocol

        return resolve_protocol(
            planned.env_id,
            planned.agent,
            base=planned.base,
            filter=planned.filter,
            filter_options=dict(planned.filter_options),
            weights=planned.weights or self._options.weights,
            episodes=planned.episodes,
        )

    def _submitted(self, planned: Planned) -> FinishedRun | None:
        """The longest submission to the leaderboards of what is planned; None if it would have to be longer."""
        from dto_agents.zoo import task_name
        from dto_eval.boards.guard import RefusedError, folder_name
        from dto_eval.boards.submit import read_evidence

        if self._options.boards is None:
            return None
        longest = None
        for path in self._options.boards.glob(f"{task_name(planned.env_id)}/{folder_name(planned.agent)}/*"):
            try:
                submitted = read_evidence(path)
            except RefusedError:
                continue
            protocol = submitted.run.protocol
            least = longest.run.protocol.episodes if longest else planned.episodes - 1
            if protocol.episodes > least and protocol == self._protocol(replace(planned, episodes=protocol.episodes)):
                longest = submitted
        return longest


def _most_episodes(root: Path, planned: Planned) -> int:
    """Episodes of the longest complete run of this kind below ``root``, at least those planned."""
    from dto_eval.run_folder import RunFolderError, load_run

    numbers = (path.name.removeprefix(f"{planned.kind.name}-") for path in root.glob(f"{planned.kind}-*"))
    for episodes in sorted((int(number) for number in numbers if number.isdecimal()), reverse=True):
        if episodes <= planned.episodes:
            break
        try:
            load_run(root / replace(planned, episodes=episodes).folder)
        except RunFolderError:
            continue
        return episodes
    return planned.episodes
