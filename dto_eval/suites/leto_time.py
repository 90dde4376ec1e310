"""LeTO's Table XI: how long 20 epochs on Square take, from the processor time of a few training steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dto_eval.suites import SuiteOptions
from dto_eval.suites.leto_paper import EPOCHS, HOURS
from dto_eval.suites.page import Page
from dto_eval.suites.training import data_of

if TYPE_CHECKING:
    from dto_agents.demos.dataset import Demonstrations

ENV = "dto/Square-v0"
BATCH = 64
WARM, STEPS = 10, 40
LABELS = {
    "lstm-gmm": "LSTM-GMM",
    "diffusion": "diffusion policy",
    "leto": "LeTO",
    "linear": "LeTO's network without its layer",
}
Step = tuple[Callable[[], None], int]  # does one training step; number of training examples


def write_time(page: Page, options: SuiteOptions) -> None:
    """Add the table; a sentence where there are no demonstrations to train on."""
    from dto_agents.demos.dataset import load_demonstrations

    data = data_of(options, ENV, mixed=False)
    if data is None:
        page.text("Left out: it takes Square's demonstrations (`--data Square.hdf5`).")
        return
    steps = training_steps(load_demonstrations(data, ENV))
    seconds = step_seconds({name: step for name, (step, _) in steps.items()})
    hours = {name: seconds[name] * EPOCHS * count / BATCH / 3600 for name, (_, count) in steps.items()}
    rows = [[LABELS[name], 1e3 * seconds[name], hours[name], HOURS.get(name)] for name in steps]
    page.table(
        "table11",
        ["policy", "a training step here [ms of CPU]", f"{EPOCHS} epochs here [h of CPU]", "paper [h]"],
        rows,
        caption=f"Square, ph, batches of {BATCH}. Here one core, state observations and our recipes' networks, from "
        f"the median of {STEPS} steps that take turns; the paper used a graphics card and images.",
    )
    page.text(
        f"LeTO takes {hours['leto'] / hours['lstm-gmm']:.2f} times as long as LSTM-GMM here, 2.50 times in the paper, "
        f"and {hours['leto'] / hours['linear']:.2f} times as long as the same network without its layer: its "
        "problems share one Q, of which a batch needs a single factorisation here, where the paper's solver factorises "
        "every problem anew."
    )


def training_steps(demonstrations: Demonstrations) -> dict[str, Step]:
    """A training step of every policy, by the shipped recipes but for the batch, and how many examples there are."""
    import torch

    from dto_agents.diffusion import recipe as diffusion_recipe
    from dto_agents.diffusion.policy import make_denoiser
    from dto_agents.diffusion.train import make_windows, noise_loss
    from dto_agents.recurrent.network import RecurrentNetwork
    from dto_agents.recurrent.recipe import recipe_for
    from dto_agents.recurrent.train import imitation_loss, make_sequences
    from dto_envs.registry import row

    layout = row(ENV).layout
    steps: dict[str, Step] = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for name in ("lstm-gmm", "leto", "linear"):
            recipe = replace(recipe_for("leto" if name == "linear" else name, ENV), batch_size=BATCH)
            recipe = replace(recipe, head="linear") if name == "linear" else recipe
            sequences = make_sequences(demonstrations, recipe, episodes=None, seed=0)
            network = RecurrentNetwork(recipe, layout, sequences.features.shape[-1])
            steps[name] = _step(network, imitation_loss(sequences, BATCH)), len(sequences.steps)
        plan = replace(diffusion_recipe.recipe_for(ENV), batch_size=BATCH)
        windows = make_windows(demonstrations, plan, layout, episodes=None, seed=0)
        denoiser = make_denoiser(plan, layout.size, windows.states.shape[-1])
        steps["diffusion"] = _step(denoiser, noise_loss(windows, plan)), len(windows.states)
    return {name: steps[name] for name in LABELS}


def _step(network, loss_function: Callable) -> Callable[[], None]:
    import torch

    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)

    def step() -> None:
        loss = loss_function(network)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def step_seconds(steps: Mapping[str, Callable[[], None]], warm: int = WARM, count: int = STEPS) -> dict[str, float]:
    """Median processor time of each step on one core; they take turns, so that other work falls on all alike."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    times: dict[str, list[float]] = {name: [] for name in steps}
    try:
        with torch.random.fork_rng(devices=[]):
            for number in range(warm + count):
                for name, step in steps.items():
                    begin = time.process_time()
                    step()
                    if number >= warm:
                        times[name].append(time.process_time() - begin)
    finally:
        torch.set_num_threads(threads)
    return {name: float(np.median(values)) for name, values in times.items()}
