"""DiffOG's Figure 11: how diagonal the learned Q is in the phases of a rollout, and how fast the hand moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dto_eval.suites import SuiteOptions
from dto_eval.suites.page import Page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EPISODES = 20
FIRST_INIT = 100_000
NEAR_GOAL, LIFTED, LOW = 0.05, 0.02, 0.08  # m


@dataclass(frozen=True)
class Chunk:
    """One call of the filter in a rollout.

    Attributes:
        episode: number of the rollout.
        step: number of the first action.
        phase: one of the task's.
        diagonality: score of Q.
        speed: mean over the chunk of the commanded linear velocity's norm, normalised.
    """

    episode: int
    step: int
    phase: str
    diagonality: float
    speed: float


def diagonality(q: np.ndarray, epsilon: float = 1e-4) -> np.ndarray:
    """Share of the squared entries of Q (..., n, n) that lies on the diagonal, (...,); DiffOG, section IV-C."""
    diagonal = np.square(np.diagonal(q, axis1=-2, axis2=-1)).sum(axis=-1)
    return diagonal / (np.square(q).sum(axis=(-2, -1)) + epsilon)


@dataclass(frozen=True)
class Staged:
    """A task with phases.

    Attributes:
        task: its name.
        phases: in their order, whether each is fine manipulation.
        phase_of: the phase of a state observation (D,), given the episode's first.
    """

    task: str
    phases: Mapping[str, bool]
    phase_of: Callable[[np.ndarray, np.ndarray], str]


def phase_of_square(observation: np.ndarray, first: np.ndarray) -> str:
    """Phase of Square that a state observation (23,) is in, given the episode's first."""
    from dto_agents.experts.square import PEG

    nut, hand = observation[7:10], observation[14:17]
    if np.hypot(*(nut[:2] - PEG)) < NEAR_GOAL:
        return "insert"
    if nut[2] > first[9] + LIFTED:
        return "carry"
    return "grasp" if hand[2] - nut[2] < LOW else "reach"


def phase_of_toolhang(observation: np.ndarray, first: np.ndarray) -> str:
    """Phase of ToolHang, A to H in the paper, that a state observation (53,) is in, given the episode's first."""
    from dto_agents.experts.scene import see
    from dto_agents.experts.toolhang import BUMP, GRIP, HOLE, OBJECTS, RING, TIP

    scene = see(observation, OBJECTS)
    stand, frame, tool = scene.objects
    if observation[42]:  # the frame stands in the stand
        name, height, held, last = "tool", OBJECTS[2] + 2, tool.position, "hang"
        away = np.linalg.norm(tool.at(RING) - frame.at(BUMP))
    else:
        name, height, held, last = "frame", OBJECTS[1] + 2, frame.at(GRIP), "insert"
        away = np.hypot(*(frame.at(TIP) - stand.at(HOLE))[:2])
    if observation[height] > first[height] + LIFTED:
        return last if away < NEAR_GOAL else f"carry {name}"
    return f"grasp {name}" if np.linalg.norm(scene.gripper.position - held) < LOW else f"reach {name}"


STAGED = (
    Staged("Square", {"reach": False, "grasp": True, "carry": False, "insert": True}, phase_of_square),
    Staged(
        "ToolHang",
        {
            "reach frame": False,
            "grasp frame": True,
            "carry frame": False,
            "insert": True,
            "reach tool": False,
            "grasp tool": True,
            "carry tool": False,
            "hang": True,
        },
        phase_of_toolhang,
    ),
)


def write_structure(page: Page, options: SuiteOptions) -> None:
    """Add the section; a sentence for each task for which DiffOG has not been trained."""
    from dto_agents.zoo import MissingWeightsError

    page.heading("Figure 11: how diagonal Q is")
    columns = ["task", "phase", "kind", "diagonality", "std", "commanded speed", "chunks"]
    rows: list[list[Any]] = []
    seen: list[tuple[Staged, list[Chunk]]] = []
    for staged in STAGED:
        try:
            chunks = roll_out(staged, min(options.episodes or EPISODES, EPISODES), options.weights)
        except MissingWeightsError as error:
            page.text(f"Left out: {error}.")
            continue
        rows += _rows(staged, chunks)
        seen.append((staged, chunks))
    if not seen:
        return
    page.table("figure11", columns, rows, caption="Speed: norm of the commanded linear velocity, normalised.")
    for staged, chunks in seen:
        caption = f"{staged.task}: diagonality of Q along the first rollouts, coloured by phase."
        page.figure(f"figure11-{staged.task.lower()}", _figure(staged, chunks), caption)
    claim = "The paper finds Q more diagonal in fine manipulation, where commands are small, than in fast transitions."
    page.text(" ".join([claim, *(_verdict(staged, chunks) for staged, chunks in seen)]))


def _rows(staged: Staged, chunks: Sequence[Chunk]) -> list[list[Any]]:
    rows = []
    for phase, fine in staged.phases.items():
        own = [chunk for chunk in chunks if chunk.phase == phase]
        scores = [chunk.diagonality for chunk in own]
        speeds = [chunk.speed for chunk in own]
        if own:
            means = [float(np.mean(scores)), float(np.std(scores)), float(np.mean(speeds))]
            rows.append([staged.task, phase, "fine" if fine else "fast", *means, len(own)])
    return rows


def roll_out(staged: Staged, episodes: int, weights: Path | None = None) -> list[Chunk]:
    """Play a task with DiffOG's first member and look at every Q.

    Raises:
        dto_agents.zoo.MissingWeightsError: DiffOG or its policy has not been trained.
    """
    import gymnasium

    import dto_envs  # noqa: F401  registers the ids
    from dto_agents.catalogue import make_agent, members

    env_id = f"dto/{staged.task}-v0"
    agent: Any = make_agent("diffog", env_id, members("diffog", env_id, weights=weights)[0].name, weights=weights)
    env = gymnasium.make(env_id)
    chunks = []
    for episode in range(episodes):
        observation, _ = env.reset(seed=FIRST_INIT + episode)
        agent.reset([FIRST_INIT + episode])
        first, step, over = observation, 0, False
        history = [observation] * agent.n_obs_steps
        while not over:
            proposed = agent.base.act(np.array(history)[None])
            actions = agent.apply(proposed)[0]
            normalized = agent.layout.normalize(proposed.astype(np.float64))
            score = float(diagonality(quadratic_form(agent.action_filter, normalized))[0])
            speed = float(np.linalg.norm(normalized[0, :, :3], axis=1).mean())
            chunks.append(Chunk(episode, step, staged.phase_of(observation, first), score, speed))
            for action in actions[: agent.n_action_steps]:
                observation, _, terminated, truncated, _ = env.step(action)
                history = [*history[1:], observation]
                step, over = step + 1, terminated or truncated
                if over:
                    break
    env.close()
    return chunks


def quadratic_form(layer: Any, chunk: np.ndarray) -> np.ndarray:
    """Q (B, T * D, T * D) of a layer for normalised chunks (B, T, D)."""
    import torch

    weight = next(layer.q_source.parameters())
    with torch.no_grad():
        return layer.q_source(torch.from_numpy(chunk).to(weight)).double().numpy()


def _figure(staged: Staged, chunks: Sequence[Chunk], shown: int = 4) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.6 * shown), layout="constrained")
    axes = figure.subplots(shown, 1, sharex=True, squeeze=False)[:, 0]
    for episode, ax in enumerate(axes):
        own = [chunk for chunk in chunks if chunk.episode == episode]
        ax.plot([chunk.step for chunk in own], [chunk.diagonality for chunk in own], color="0.7", zorder=1)
        for color, phase in enumerate(staged.phases):
            there = [chunk for chunk in own if chunk.phase == phase]
            steps, scores = [chunk.step for chunk in there], [chunk.diagonality for chunk in there]
            ax.scatter(steps, scores, color=f"C{color}", label=phase, s=18)
        ax.set_ylabel("diagonality")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=8)
    axes[-1].set_xlabel("step")
    return figure


def _verdict(staged: Staged, chunks: Sequence[Chunk]) -> str:
    from scipy.stats import spearmanr

    fine, fast = (
        float(np.mean([chunk.diagonality for chunk in chunks if staged.phases[chunk.phase] is kind]))
        for kind in (True, False)
    )
    rank = float(spearmanr([chunk.speed for chunk in chunks], [chunk.diagonality for chunk in chunks]).statistic)
    outcome = "comes out" if fine > fast and rank < 0 else "does not come out"
    return (
        f"{staged.task}: the mean is {fine:.3f} in fine phases and {fast:.3f} in fast ones, the rank correlation of "
        f"speed and diagonality {rank:+.2f}: it {outcome}."
    )
