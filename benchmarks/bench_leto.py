"""What does LeTO's optimisation layer add to a training step? The same network with and without it, side by side.

Steps of both alternate, and CPU time is measured, so that other work on the machine falls on both alike. The paper
needed 2.5 times as long with the layer (LeTO, Table XI).

Run: python benchmarks/bench_leto.py [--env dto/Square-v0] [--hidden 256] [--steps 40] [--warm 100]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import torch

from dto_agents.recurrent.network import RecurrentNetwork
from dto_agents.recurrent.recipe import recipe_for
from dto_envs.registry import row

FEATURES = 60


def trainer(head: str, env_id: str, hidden: int, targets: torch.Tensor, features: torch.Tensor):
    """A function that does one training step of the network with this head."""
    recipe = replace(recipe_for("leto", env_id), head=head, hidden=hidden)
    torch.manual_seed(0)
    network = RecurrentNetwork(recipe, row(env_id).layout, FEATURES)
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=0.0, fused=True)

    def step() -> None:
        index = torch.randint(len(features), (recipe.batch_size,))
        loss = network.loss(features[index], targets[index])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env", default="dto/Square-v0")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument(
        "--warm", type=int, default=100, help="steps before the clock starts, in which the layer learns"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    recipe, layout = recipe_for("leto", options.env), row(options.env).layout
    # Motion that starts and stops, as demonstrations do: smooth, with a tenth of the differences beyond the limit.
    torch.manual_seed(1)
    walk = torch.randn(512, recipe.sampling_length + recipe.horizon, layout.size).cumsum(dim=1) * 0.06
    targets = walk.clamp(-1, 1).unfold(1, recipe.horizon, 1)[:, : recipe.sampling_length].transpose(2, 3)
    features = torch.randn(512, recipe.sampling_length, FEATURES)
    steps = {head: trainer(head, options.env, options.hidden, targets, features) for head in ("linear", "leto")}
    seconds = dict.fromkeys(steps, 0.0)
    for count in range(options.warm + options.steps):
        for head, step in steps.items():
            start = time.process_time()
            step()
            if count >= options.warm:
                seconds[head] += time.process_time() - start
    for head, total in seconds.items():
        print(f"{head:7s} {1e3 * total / options.steps:8.1f} ms of CPU a training step")
    print(f"ratio   {seconds['leto'] / seconds['linear']:8.2f}  (hidden {options.hidden}, batch {recipe.batch_size})")


if __name__ == "__main__":
    main()
