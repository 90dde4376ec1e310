"""``dto-train``: train a diffusion policy, or an action filter on top of one, from demonstrations."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from dto_eval.commands.trainers import TRAINERS, evaluated_as


@dataclass(frozen=True)
class Train:
    """Train an agent from demonstrations. Started again after a kill, it goes on from its last checkpoint.

    Writes OUT/<Task>/<agent>/seed<k>.safetensors and its .json card; evaluate it with dto-eval --weights OUT.
    """

    agent: Literal[
        "diffusion",
        "diffusion-image",
        "dp3",
        "leto",
        "lstm-gmm",
        "leto-image",
        "lstm-gmm-image",
        "ibc",
        "matrix",
        "matrix-refine",
        "diffog",
        "diffog-refine",
        "residual",
        "rc-car-dynamics",
        "rc-car-sac",
        "iiwa-qrnet",
        "iiwa-qrnet-wide",
        "iiwa-mlp",
        "iiwa-sac",
        "nn",
        "nnm",
        "mdr",
        "cvx",
        "dlm",
    ] = "diffusion"
    """What to train: a policy (diffusion, dp3, leto, lstm-gmm, ibc; -image: one that sees pictures, which
    dto-demos draw makes, and which are recorded of Push-T), a filter, the model of an RC car that its planners use
    (rc-car-dynamics), a policy that drives one of its manoeuvres by trial and error (rc-car-sac, without --data;
    stopped with Ctrl-C it writes the best policy so far, and cannot go on), or a controller of the iiwa (iiwa-qrnet,
    iiwa-mlp; iiwa-qrnet-wide from starts of side 2; iiwa-sac by trial and error, as rc-car-sac), or one of the
    networks that push objects as a video shows (nn, nnm, mdr, cvx, dlm; of more tasks they are called nn-large, from
    1,000 on nn-huge, and so on). The -refine filters learn from the trained policy's own chunks."""
    env: str = "dto/PushT-v0"
    """Environment id."""
    data: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """Demonstrations: robomimic HDF5 as dto-demos writes it, or Diffusion Policy's Push-T zarr directory. For
    rc-car-dynamics a log, as dto-demos drive writes it; for the iiwa's controllers the folder of dto-demos optimal.
    For planar pushing the file of dto-demos collect."""
    seed: int = 42
    """Training seed: initial weights, batches, and which demonstrations are used."""
    steps: int | None = None
    """Optimiser steps, of rc-car-sac and iiwa-sac environment steps, of planar pushing steps on each loss; by default
    what the environment's recipe says."""
    episodes: int | None = None
    """How many demonstrations to use, drawn by the seed; by default 90 for Push-T and all for other tasks. Of
    planar pushing, how many of the file's extra tasks to learn from beside the training set; none by default."""
    out: Path = Path("weights")
    """Root folder of the weights."""
    alpha: float | None = None
    """Smoothing weight of a filter, or of LeTO's layer; by default the environment's, and 1 for LeTO."""
    bound: float | None = None
    """Limit on the difference of successive normalised actions that a filter, or LeTO, is trained with; by default the
    environment's."""
    velocity: float | None = None
    """Limit on the normalised commands themselves that a filter is trained with; by default none."""
    base: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Root folder of the diffusion policy that a -refine filter is trained on; by default the shipped weights."""
    car: Literal["simulated", "real"] | None = None
    """For rc-car-dynamics, whose recording --data is; simulated by default. Writes OUT/<car>/seed<k>.safetensors."""
    epochs: int | None = None
    """For rc-car-dynamics and the iiwa's controllers, how often each moment of the data is shown; by default what the
    recipe says."""


def main() -> None:
    """Entry point: parse the command line, train, and turn expected failures into one line and exit status 2."""
    options = tyro.cli(Train)
    console = Console(highlight=False)
    try:
        path = run(options, console)
    except KeyboardInterrupt:
        console.print("stopped; the same command goes on from the last checkpoint")
        raise SystemExit(130) from None
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        print(f"dto-train: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    console.print(f"wrote {path} and {path.with_suffix('.json').name}")
    env_id, agent = evaluated_as(options)
    console.print(f"evaluate it: dto-eval --env {env_id} --agent {agent} --weights {options.out}")


def run(options: Train, console: Console) -> Path:
    """Train as the options say and return the weights file.

    Raises:
        ValueError: an option or the data does not fit; the message says what to pass instead.
        OSError: data or base weights are missing, or the result exists already.
        dto_agents.training.TrainingError: training cannot go on.
    """
    from dto_envs.registry import row

    row(options.env)
    trainer = TRAINERS[options.agent]
    trainer.check(options)

    import torch

    torch.set_num_threads(1)
    return trainer.train(options, console)


if __name__ == "__main__":
    main()
