"""``dto-demos``: collect demonstrations of the scripted experts, import other people's, and look at them."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro
from dto_agents.demos.dataset import DemonstrationError

from dto_envs.registry import UnknownEnvError


@dataclass(frozen=True)
class Collect:
    """Collect successful episodes of the scripted expert as robomimic HDF5; continues where it was killed."""

    env: str = "dto/Square-v0"
    """Environment with a scripted expert: dto/Lift-v0, dto/Can-v0 or dto/Square-v0."""
    episodes: int = 200
    """Number of successful episodes; failures are thrown away."""
    out: Path | None = None
    """HDF5 file to write; demos/TASK.hdf5 by default."""
    first_seed: int = 0
    """Seed of the first attempt; evaluations use 100000 and up."""
    workers: int = os.cpu_count() or 1
    """Number of processes."""

    def run(self) -> None:
        """Collect, showing progress."""
        from dto_agents.demos.collect import Collection, Progress, collect
        from rich.console import Console
        from rich.progress import MofNCompleteColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        out = self.out or default_path(self.env)
        console = Console()
        with Bar(
            *Bar.get_default_columns()[:2],
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        ) as bar:
            task = bar.add_task(self.env, total=self.episodes)

            def report(progress: Progress) -> None:
                bar.update(task, completed=min(progress.successes, self.episodes))

            ended = collect(
                Collection(self.env, self.episodes, self.first_seed), out, workers=self.workers, report=report
            )
        rate = ended.successes / ended.attempts
        console.print(f"{ended.successes} episodes in {out}; the expert solved {rate:.1%} of {ended.attempts} seeds")


def default_path(env_id: str) -> Path:
    """Where the demonstrations of ``dto/TASK-v0`` lie unless said otherwise."""
    return Path("demos") / f"{env_id.split('/')[-1].rsplit('-', 1)[0]}.hdf5"


def main(arguments: list[str] | None = None) -> None:
    """Run ``dto-demos``; exits with 1 and one message where something is wrong."""
    command = tyro.extras.subcommand_cli_from_dict(
        {"collect": Collect}, args=arguments, prog="dto-demos", description=__doc__
    )
    try:
        command.run()
    except (DemonstrationError, UnknownEnvError, ImportError, OSError) as error:
        sys.exit(f"dto-demos: {error}")


if __name__ == "__main__":
    main()
