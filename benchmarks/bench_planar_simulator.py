"""The differentiable simulator and the inverse-dynamics layer of planar pushing: how near to pymunk, how fast.

Times are CPU time of this thread, so that other processes count less. Run: python benchmarks/bench_planar_simulator.py
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from timing import cpu_times, machine

from dto_agents.planar import dataset, qp_layer, simulator
from dto_agents.planar.expert import FingerPlan, plan
from dto_envs.planar_push import physics
from dto_envs.planar_push.constants import POSITION_STIFFNESS
from dto_envs.planar_push.tasks import Task, make_task

KAPPAS = (100.0, 300.0, 1000.0, 3333.0, 10_000.0, 30_000.0)
NOISES_CM = (0.0, 0.3, 1.0)
BATCH = 20
REPEATS = 10


def noisy_targets(plans: Sequence[FingerPlan], noise_cm: float) -> torch.Tensor:
    """Targets (B, T, 2, 2) that press with the plans' forces, and miss by Gaussian noise."""
    exact = np.stack([made.fingers + made.forces / POSITION_STIFFNESS for made in plans])
    return torch.from_numpy(exact + 0.01 * noise_cm * np.random.default_rng(0).standard_normal(exact.shape))


def executed(tasks: Sequence[Task], targets: torch.Tensor) -> np.ndarray:
    """Poses (B, T, 3) in pymunk."""
    pairs = zip(tasks, targets.numpy(), strict=True)
    return np.stack([physics.simulate(task, target).poses for task, target in pairs])


def print_gaps(tasks: Sequence[Task], plans: Sequence[FingerPlan]) -> None:
    """The largest distance from pymunk's positions over the keyframes, median over tasks, as kappa grows."""
    scene = simulator.Scene.of(tasks)
    print(f"\nmedian gap to pymunk in cm, {len(tasks)} tasks with 4 to 6 facets; targets miss by noise")
    print(f"{'kappa, 1/m':>12}" + "".join(f"{noise:>8.1f} cm" for noise in NOISES_CM) + f"{'cosine':>10}")
    done = [executed(tasks, noisy_targets(plans, noise)) for noise in NOISES_CM]
    for kappa in KAPPAS:
        options = simulator.SimulatorOptions(kappa=kappa)
        gaps = []
        for noise, poses in zip(NOISES_CM, done, strict=True):
            here = simulator.simulate(scene, noisy_targets(plans, noise), options=options).numpy()
            gaps.append(100.0 * np.median(np.linalg.norm((here - poses)[..., :2], axis=-1).max(axis=1)))
        cosine = smallest_cosine(scene, tasks, noisy_targets(plans, 0.3), options)
        print(f"{kappa:>12.0f}" + "".join(f"{gap:>11.3f}" for gap in gaps) + f"{cosine:>10.5f}")
    print("cosine: the smallest one over the tasks, at 0.3 cm, between gradient and central differences")


def smallest_cosine(
    scene: simulator.Scene, tasks: Sequence[Task], targets: torch.Tensor, options: simulator.SimulatorOptions
) -> float:
    """Of the loss's gradient by the targets with its central differences, over the tasks."""
    desired = torch.from_numpy(np.stack([task.poses for task in tasks]))
    inputs = targets.clone().requires_grad_()
    simulator.trajectory_loss(simulator.simulate(scene, inputs, options=options), desired).sum().backward()
    numeric = torch.zeros_like(targets).flatten(1)
    for k in range(numeric.shape[1]):
        change = torch.zeros_like(numeric[0])
        change[k] = 1e-6
        change = change.view(targets.shape[1:])
        sides = [simulator.simulate(scene, targets + sign * change, options=options) for sign in (1, -1)]
        losses = [simulator.trajectory_loss(poses, desired) for poses in sides]
        numeric[:, k] = (losses[0] - losses[1]) / 2e-6
    assert inputs.grad is not None
    return float(torch.nn.functional.cosine_similarity(inputs.grad.flatten(1), numeric, dim=1).min())


def milliseconds(function: Callable[[], object]) -> float:
    """Median CPU time of a call."""
    return 1000.0 * float(np.median(cpu_times(function, REPEATS)))


def print_speed(tasks: Sequence[Task], plans: Sequence[FingerPlan]) -> None:
    """Milliseconds a data point."""
    scene = simulator.Scene.of(tasks)
    targets = noisy_targets(plans, 0.3).requires_grad_()
    desired = torch.from_numpy(np.stack([task.poses for task in tasks]))
    print(f"\nCPU milliseconds a data point, batches of {len(tasks)}, one thread; the paper: 40,000 backward")
    print(f"{'':>24}{'forward':>10}{'both ways':>12}")
    for backend in ("compiled", "torch"):

        def forward(backend=backend) -> torch.Tensor:
            return simulator.trajectory_loss(simulator.simulate(scene, targets, backend=backend), desired).sum()

        print_row(f"simulator, {backend}", forward, len(tasks))
    true = qp_layer.Mechanics.of([dataset.solve_example(task) for task in tasks])
    mechanics = qp_layer.Mechanics(**{name: value.requires_grad_() for name, value in vars(true).items()})

    def layer() -> torch.Tensor:
        actions = qp_layer.inverse_dynamics(mechanics)
        return actions.fingers.sum() + actions.forces.sum()

    print_row("inverse dynamics", layer, len(tasks))
    pairs = list(zip(tasks, targets.detach().numpy(), strict=True))[:5]
    single = [milliseconds(functools.partial(physics.simulate, *pair)) for pair in pairs]
    print(f"{'pymunk':>24}{np.median(single):>10.3f}")


def print_row(name: str, function: Callable[[], torch.Tensor], batch: int) -> None:
    """A line of the table of times."""
    forward, both = milliseconds(function), milliseconds(lambda: function().backward())
    print(f"{name:>24}{forward / batch:>10.3f}{both / batch:>12.3f}")


def print_descent(tasks: Sequence[Task], plans: Sequence[FingerPlan]) -> None:
    """What clipped Adam steps in the simulator do to plans with 2 cm noise, judged by pymunk."""
    scene = simulator.Scene.of(tasks)
    desired = torch.from_numpy(np.stack([task.poses for task in tasks]))
    points = noisy_targets(plans, 2.0).requires_grad_()
    optimizer = torch.optim.Adam([points], lr=2e-3)
    print("\nplans with 2 cm noise after Adam steps in the simulator, median loss in pymunk, cm^2")
    for step in range(301):
        if step in (0, 60, 150, 300):
            poses = executed(tasks, points.detach())
            losses = physics.trajectory_loss(poses, desired.numpy())
            air = np.array([task.airborne for task in tasks])
            print(
                f"{step:>6} steps: airborne {np.median(losses[air]):.3f}, on the ground {np.median(losses[~air]):.3f}"
            )
        optimizer.zero_grad()
        simulator.trajectory_loss(simulator.simulate(scene, points), desired).sum().backward()
        assert points.grad is not None
        norms = points.grad.flatten(1).norm(dim=1)
        points.grad /= norms.clamp_min(1.0)[:, None, None, None]
        optimizer.step()


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    tasks = [make_task("train", index) for index in range(BATCH)]
    plans = [plan(task) for task in tasks]
    print(machine())
    print_gaps(tasks, plans)
    print_speed(tasks, plans)
    print_descent(tasks, plans)


if __name__ == "__main__":
    main()
