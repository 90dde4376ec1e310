"""Progressive training of the DLM paper's architectures (sections 4 and 5): each stage begins with the one before.

    nn   actions      L_NN   on the training set          mdr  parameters   L_P    (equation 5)   training set
    nnm  simulation   L_sim  (equation 10) fine-tuning    cvx  layer        L_QP   (equation 7)   training set
                                                          dlm  simulation   L_sim  (equation 10)  fine-tuning set

What a stage ends with is itself an architecture of the paper, so that training ``dlm`` leaves ``mdr`` and ``cvx`` in
the same folder, and training that was interrupted goes on after the last stage that ended.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dto_agents import zoo
from dto_agents.planar import dataset
from dto_agents.planar.losses import LOSSES, Lessons, parameter_loss
from dto_agents.planar.networks import NETWORKS, Views, stack
from dto_agents.planar.recipe import Recipe
from dto_agents.planar.simulator import Scene, simulate, trajectory_loss
from dto_agents.planar.symmetries import with_symmetries
from dto_agents.training import Report, TrainingError
from dto_envs.planar_push.tasks import Task, make_task, task_set
from dto_envs.planar_push.video import task_video

ENV_ID = "dto/PlanarPush-v0"
AGENTS = ("nn", "nnm", "mdr", "cvx", "dlm")
BEFORE = {"nnm": "nn", "cvx": "mdr", "dlm": "cvx"}
SIMULATED = ("nnm", "dlm")
CURVE_SETS = ("train", "fine-tune", "test", "family")
CURVE_POINTS = 10


def folder(agent: str, recipe: Recipe) -> str:
    """The zoo's folder of an architecture: its name, and how much more it has seen than the paper's tasks."""
    return agent + size_of(recipe.extra)


def size_of(extra: int) -> str:
    """What a name ends with: nothing, ``-large`` for up to 999 further tasks, ``-huge`` for more."""
    return "" if extra == 0 else "-large" if extra < 1000 else "-huge"


def stages(agent: str) -> tuple[str, ...]:
    """The stages of ``agent`` in order; the last is the agent itself."""
    if agent not in AGENTS:
        raise ValueError(f"there is no architecture {agent!r}; choose from {', '.join(AGENTS)}")
    before = stages(BEFORE[agent]) if agent in BEFORE else ()
    return (*before, agent)


def train_network(
    agent: str,
    data: Path,
    recipe: Recipe,
    *,
    seed: int,
    root: Path,
    report: Report = lambda finished, loss: None,
) -> Path:
    """Train an architecture, or finish training it; returns the weights file.

    Args:
        agent: one of :data:`AGENTS`.
        data: what ``dto-demos collect --env dto/PlanarPush-v0`` wrote.
        recipe: how.
        seed: of initial weights, batches and dropout.
        root: of the zoo that gets the weights, those of the stages before included.
        report: called with the number of finished iterations over all stages, and the loss.

    Raises:
        FileExistsError: the agent is trained already.
        dto_agents.planar.dataset.DatasetError: ``data`` is no planar data set, or has too few extra tasks.
        dto_agents.training.TrainingError: an earlier stage was trained differently, or the loss is not finite.
    """
    order = stages(agent)
    path = zoo.claim(folder(agent, recipe), ENV_ID, seed, root)
    lessons: dict[str, Lessons] = {}
    finished = 0
    for stage in order:
        target = zoo.member_path(folder(stage, recipe), ENV_ID, seed, root)
        if not _is_done(target, recipe):
            if not lessons:
                lessons = load_lessons(data, recipe)
            report(finished, math.nan)
            used = lessons["fine-tune"] if stage in SIMULATED else lessons["train"]

            def counted(step: int, loss: float, done: int = finished) -> None:
                report(done + step, loss)

            loss = partial(parameter_loss, facet_weight=recipe.facet_weight) if stage == "mdr" else LOSSES[stage]
            network = _start(stage, recipe, seed, root)
            curve, skipped = fit(network, loss, used, recipe, _rate(stage, recipe), _seed(stage, seed), counted)
            figures = {"skipped_batches": skipped, "curve": curve}
            _write(stage, network, figures, recipe, data, seed, target)
        finished += recipe.steps
    return path


def load_lessons(data: Path, recipe: Recipe) -> dict[str, Lessons]:
    """What the labelled stages ("train") and those in the simulator ("fine-tune") learn from.

    Raises:
        dto_agents.planar.dataset.DatasetError: see :func:`train_network`.
    """
    training, tuning = dataset.read(data, "train"), dataset.read(data, "fine-tune")
    if recipe.extra:
        extra = dataset.read(data, dataset.EXTRA_SET)
        if len(extra) < recipe.extra:
            raise dataset.DatasetError(
                f"{data} has {len(extra)} extra tasks, not {recipe.extra}; "
                f"collect them with: dto-demos collect --env {ENV_ID} --episodes {recipe.extra}"
            )
        training, tuning = (*training, *extra[: recipe.extra]), (*tuning, *extra[: recipe.extra])
    sets = {"train": training, "fine-tune": tuning}
    return {name: Lessons.of(with_symmetries(used) if recipe.symmetries else used) for name, used in sets.items()}


def fit(
    network: nn.Module,
    loss_function: Callable[[Any, Lessons], Tensor],
    lessons: Lessons,
    recipe: Recipe,
    rate: float,
    seed: int,
    report: Report = lambda finished, loss: None,
) -> tuple[list[dict[str, float]], int]:
    """Train ``network`` on one loss, in place; dropout and batch statistics are on.

    Returns:
        The learning curve: dictionaries of ``step``, ``loss`` and for each set the median trajectory loss in the
        differentiable simulator, with dropout and batch statistics off. And the number of batches that were left out.

    Raises:
        dto_agents.training.TrainingError: the loss is not finite, or more than 2 % of the batches cannot be solved.
    """
    probes = {name: Probe.of([make_task(name, i) for i in range(task_set(name).size)]) for name in CURVE_SETS}
    curve = [{"step": 0, **{name: probe.median(network) for name, probe in probes.items()}}]
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    batch, skipped = min(recipe.batch, len(lessons)), 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for step in range(recipe.steps):
            network.train()
            for group in optimizer.param_groups:
                group["lr"] = rate * (0.5 * (1 + math.cos(math.pi * step / recipe.steps)) if recipe.decay else 1.0)
            rows = torch.randperm(len(lessons))[:batch]
            try:
                loss = loss_function(network, lessons[rows])
            except ValueError as error:
                # Predictions for which the layer's program is numerically singular; another batch will do.
                skipped += 1
                if skipped > 1 + recipe.steps // 50:
                    raise TrainingError(f"{skipped} batches had to be left out; the last: {error}") from error
                continue
            value = loss.item()
            if not math.isfinite(value):
                raise TrainingError(f"the loss is {value} at iteration {step}; lower the learning rate")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
            optimizer.step()
            report(step + 1, value)
            if (step + 1) % max(1, recipe.steps // CURVE_POINTS) == 0 or step + 1 == recipe.steps:
                medians = {name: probe.median(network) for name, probe in probes.items()}
                curve.append({"step": step + 1, "loss": value, **medians})
    network.eval()
    return curve, skipped


@dataclass(frozen=True)
class Probe:
    """Tasks on which training is watched: what a network sees of them, and how they begin and should go on."""

    views: Views
    scene: Scene
    poses: Tensor

    @staticmethod
    def of(tasks: Sequence[Task]) -> Probe:
        """Draw the videos of ``tasks``."""
        poses = torch.from_numpy(np.stack([task.poses for task in tasks]))
        return Probe(stack([task_video(task) for task in tasks]), Scene.of(tasks), poses)

    @torch.no_grad()
    def median(self, network: nn.Module) -> float:
        """Median trajectory loss in cm^2 in the differentiable simulator; the network is left in evaluation mode."""
        network.eval()
        poses = simulate(self.scene, network(self.views))
        return round(float(trajectory_loss(poses, self.poses).quantile(0.5)), 4)


def load_network(name: str, path: Path) -> nn.Module:
    """The trained network of a weights file, in evaluation mode; ``name`` is that of its folder, as in :func:`folder`.

    Raises:
        dto_agents.zoo.DamagedWeightsError: the file holds something else.
    """
    _, tensors = zoo.read(path, name)
    network = NETWORKS[name.partition("-")[0]]()
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise zoo.DamagedWeightsError(f"{path} does not fit {name}: {str(error).splitlines()[-1].strip()}") from error
    return network.eval()


def _start(stage: str, recipe: Recipe, seed: int, root: Path) -> nn.Module:
    """The network that a stage begins with: what the stage before left, or random weights."""
    if before := BEFORE.get(stage):
        name = folder(before, recipe)
        return load_network(name, zoo.member_path(name, ENV_ID, seed, root))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NETWORKS[stage]()


def _is_done(target: Path, recipe: Recipe) -> bool:
    """Whether a stage has ended before, with this recipe."""
    if not target.with_suffix(".json").is_file():
        return False
    trained = json.loads(target.with_suffix(".json").read_text(encoding="utf-8"))["recipe"]
    if trained != asdict(recipe):
        changed = [name for name, value in asdict(recipe).items() if trained.get(name) != value]
        raise TrainingError(f"{target} was trained with other {', '.join(changed)}; pass another --out, or delete it")
    return True


def _rate(stage: str, recipe: Recipe) -> float:
    return recipe.simulation_rate if stage in SIMULATED else recipe.learning_rate


def _seed(stage: str, seed: int) -> int:
    return 1000 * AGENTS.index(stage) + seed + 1


def _write(
    stage: str, network: nn.Module, figures: Mapping[str, Any], recipe: Recipe, data: Path, seed: int, target: Path
) -> None:
    parameters = sum(parameter.numel() for parameter in network.parameters())
    source = {"file": data.name, "labels": stage not in SIMULATED}
    card = zoo.make_card(folder(stage, recipe), ENV_ID, seed, recipe=asdict(recipe), data=source, parameters=parameters)
    description = {"kind": folder(stage, recipe), "env_id": ENV_ID}
    zoo.write(target, network.state_dict(), description, {**card, **figures})
