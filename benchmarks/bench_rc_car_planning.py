"""Planning the RC car on one core: rollouts, gradients and plans on a shipped network, beside torch and numpy.

    OMP_NUM_THREADS=1 python benchmarks/bench_rc_car_planning.py

Times are the least processor time of several calls, in ms. Aims: an iteration of the paper's line search (512
candidates, 40 steps) in 15 ms, a plan of 40 steps in 500 ms, replanning far below a tick of 20 ms.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from timing import cpu_times

from dto_agents.rc_car.costs import Controls, Cost, Targets
from dto_agents.rc_car.dynamics import LearnedDynamics
from dto_agents.rc_car.missions import Effort, plan_mission
from dto_agents.rc_car.optimisation import Problem, descend, line_search, optimise, spread_starts
from dto_envs.rc_car import adjoint
from dto_envs.rc_car.learned import CarNetwork, list_models, read_network, rollout
from dto_envs.rc_car.scenarios import SCENARIOS

STEPS, CANDIDATES = 40, 512


def least(call: Callable[[], object], repeats: int = 15) -> float:
    return 1e3 * min(cpu_times(call, repeats))


class TorchCar:
    """The same network as plain torch, for batches."""

    def __init__(self, network: CarNetwork) -> None:
        """Take the arrays of ``network``."""
        self.network = network
        self.layers = [
            (torch.from_numpy(w).T, torch.from_numpy(b)) for w, b in zip(network.weights, network.biases, strict=True)
        ]
        self.standard = {name: torch.from_numpy(array) for name, array in network.tensors().items() if "put" in name}

    def rollout(self, controls: torch.Tensor) -> torch.Tensor:
        """States (B, n, 6) after a start at rest."""
        network, standard = self.network, self.standard
        batch = len(controls)
        actions = torch.cat([torch.zeros(batch, network.actions - 1, 2), controls], dim=1)
        pose, velocity, found = torch.zeros(batch, 3), torch.zeros(batch, 3), []
        for step in range(controls.shape[1]):
            recent = actions[:, step : step + network.actions].flatten(1)
            hidden = (torch.cat([velocity, recent], dim=1) - standard["input_mean"]) / standard["input_scale"]
            for index, (weight, bias) in enumerate(self.layers):
                hidden = torch.addmm(bias, hidden, weight)
                if index < len(self.layers) - 1:
                    hidden = torch.nn.functional.gelu(hidden, approximate="tanh")
            velocity = hidden * standard["output_scale"] + standard["output_mean"] + velocity
            cos, sin = torch.cos(pose[:, 2]), torch.sin(pose[:, 2])
            moved = [cos * velocity[:, 0] - sin * velocity[:, 1], sin * velocity[:, 0] + cos * velocity[:, 1]]
            pose = pose + network.dt * torch.stack([*moved, velocity[:, 2]], dim=1)
            found.append(torch.cat([pose, velocity], dim=1))
        return torch.stack(found, dim=1)

    def gradient(self, controls: torch.Tensor) -> torch.Tensor:
        """Gradient of the sum of squared states by automatic differentiation."""
        variable = controls.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(self.rollout(variable).square().sum(), variable)
        return gradient


def show(name: str, ours: float, torchs: float | None = None, aim: float | None = None) -> None:
    beside = f"   torch {torchs:8.2f} ms, {torchs / ours:5.1f} times ours" if torchs is not None else ""
    wanted = f"   aim {aim:g} ms: {'met' if ours <= aim else 'missed'}" if aim is not None else ""
    print(f"{name:58s}{ours:8.2f} ms{beside}{wanted}")


def main() -> None:
    torch.set_num_threads(1)
    network = read_network(list_models("simulated")[0])
    car = TorchCar(network)
    rng = np.random.default_rng(0)
    for batch, steps in ((CANDIDATES, STEPS), (64, STEPS), (32, 20), (1, STEPS), (1, 20)):
        controls = rng.uniform(-1, 1, (batch, steps, 2))
        given = torch.from_numpy(controls).float()
        with torch.no_grad():
            torchs = least(lambda given=given: car.rollout(given), 5)
        show(f"rollout, {batch} x {steps}", least(lambda c=controls: rollout(network, np.zeros(6), c)), torchs)
    for steps in (STEPS, 20):
        controls = rng.uniform(-1, 1, (1, steps, 2))
        states = rollout(network, np.zeros(6), controls)
        slopes = 2 * states, np.zeros_like(controls)
        both = least(
            lambda c=controls: adjoint.gradient(network, rollout(network, np.zeros(6), c), c, *slopes)  # noqa: B023
        )
        show(
            f"rollout and gradient, 1 x {steps}",
            both,
            least(lambda c=controls: car.gradient(torch.from_numpy(c).float()), 5),
        )
        show(f"dx/du written out, 1 x {steps}", least(lambda s=states, c=controls: adjoint.jacobian(network, s, c)))

    targets = Targets(np.array([STEPS]), np.array([[1.5, 0.5, 1.5, 0, 0, 0]]), np.array([[40.0, 40, 20, 2, 2, 0.1]]))
    problem = Problem(LearnedDynamics(network), Cost((targets, Controls())), np.zeros(6))
    start = np.full((STEPS, 2), 0.2)
    for candidates, aim in ((CANDIDATES, 15.0), (64, None)):
        search = [
            least(lambda n=n, c=candidates: line_search(problem, start, candidates=c, iterations=n, tolerance=0), 5)
            for n in (2, 7)
        ]
        show(f"an iteration of the line search, {candidates} x {STEPS}", (search[1] - search[0]) / 5, aim=aim)
    starts = spread_starts(problem, STEPS, 6)
    show(f"L-BFGS from 6 starts, {STEPS} steps", least(lambda: optimise(problem, starts), 3), aim=500.0)
    show(
        "10 iterations of L-BFGS, 20 steps",
        least(lambda: descend(problem_of(network, 20), start[:20], iterations=10), 9),
    )
    for name, scenario in SCENARIOS.items():
        state = np.array([*scenario.start, scenario.speed, 0, 0])
        for doubt in (0.0, 0.05):
            effort = Effort(doubt=doubt)
            ours = least(
                lambda s=scenario, x=state, e=effort: plan_mission(LearnedDynamics(network), s, x, effort=e), 3
            )
            steps = round(scenario.target.time / network.dt)
            show(f"plan of {name}, {steps} steps, doubt {doubt:g}", ours, aim=500.0 if steps == STEPS else None)
    for method, plan in (("L-BFGS, 6 starts", optimise(problem, starts)), ("line search", line_search(problem, start))):
        print(f"{method:20s} cost {plan.cost:.4f} after {plan.evaluations} rollouts ({plan.status})")


def problem_of(network: CarNetwork, steps: int) -> Problem:
    targets = Targets(np.array([steps]), np.array([[1.0, 0.3, 0.5, 0, 0, 0]]), np.array([[40.0, 40, 20, 2, 2, 0.1]]))
    return Problem(LearnedDynamics(network), Cost((targets, Controls())), np.zeros(6))


if __name__ == "__main__":
    main()
