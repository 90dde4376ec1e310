"""DiffOG's Figure 11 on Square: how diagonal the learned Q is in the phases of a rollout, and how fast it moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dto_eval.suites import SuiteOptions
from dto_eval.suites.page import Page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENV = "dto/Square-v0"
EPISODES = 20
FIRST_INIT = 100_000
PHASES = {"reach": False, "grasp": True, "carry": False, "insert": True}  # whether it is fine manipulation
NEAR_PEG, LIFTED, LOW = 0.05, 0.02, 0.08  # m
NUT = slice(7, 10)  # where a state observation of Square holds the nut's position
HAND = slice(14, 17)  # and the tool point's


@dataclass(frozen=True)
class Chunk:
    """One call of the filter in a rollout.

    Attributes:
        episode: number of the rollout.
        step: number of the first action.
        phase: one of :data:`PHASES`.
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


def phase_of(observation: np.ndarray, rest: float) -> str:
    """Phase of Square that a state observation (23,) is in; ``rest`` is the height in m at which the nut began."""
    from dto_agents.experts.square import PEG

    nut, hand = observation[NUT], observation[HAND]
    if np.hypot(*(nut[:2] - PEG)) < NEAR_PEG:
        return "insert"
    if nut[2] > rest + LIFTED:
        return "carry"
    return "grasp" if hand[2] - nut[2] < LOW else "reach"


def write_structure(page: Page, options: SuiteOptions) -> None:
    """Add the section; a sentence where DiffOG has not been trained for Square."""
    from dto_agents.zoo import MissingWeightsError

    page.heading("Figure 11: how diagonal Q is")
    try:
        chunks = roll_out(min(options.episodes or EPISODES, EPISODES), options.weights)
    except MissingWeightsError as error:
        page.text(f"Left out: {error}.")
        return
    rows = []
    for phase, fine in PHASES.items():
        own = [chunk for chunk in chunks if chunk.phase == phase]
        scores = [chunk.diagonality for chunk in own]
        speeds = [chunk.speed for chunk in own]
        if own:
            means = [float(np.mean(scores)), float(np.std(scores)), float(np.mean(speeds))]
            rows.append([phase, "fine" if fine else "fast", *means, len(own)])
    columns = ["phase", "kind", "diagonality", "std", "commanded speed", "chunks"]
    page.table("figure11", columns, rows, caption="Speed: norm of the commanded linear velocity, normalised.")
    page.figure("figure11", _figure(chunks), "Diagonality of Q along the first rollouts, coloured by phase.")
    page.text(_verdict(chunks))


def roll_out(episodes: int, weights: Path | None = None) -> list[Chunk]:
    """Play Square with DiffOG's first member and look at every Q.

    Raises:
        dto_agents.zoo.MissingWeightsError: DiffOG or its policy has not been trained.
    """
    import gymnasium

    import dto_envs  # noqa: F401  registers the ids
    from dto_agents.catalogue import make_agent, members

    agent: Any = make_agent("diffog", ENV, members("diffog", ENV, weights=weights)[0].name, weights=weights)
    env = gymnasium.make(ENV)
    chunks = []
    for episode in range(episodes):
        observation, _ = env.reset(seed=FIRST_INIT + episode)
        agent.reset([FIRST_INIT + episode])
        rest, step, over = float(observation[NUT][2]), 0, False
        history = [observation] * agent.n_obs_steps
        while not over:
            proposed = agent.base.act(np.array(history)[None])
            actions = agent.apply(proposed)[0]
            normalized = agent.layout.normalize(proposed.astype(np.float64))
            score = float(diagonality(quadratic_form(agent.action_filter, normalized))[0])
            speed = float(np.linalg.norm(normalized[0, :, :3], axis=1).mean())
            chunks.append(Chunk(episode, step, phase_of(observation, rest), score, speed))
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


def _figure(chunks: Sequence[Chunk], shown: int = 4) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.6 * shown), layout="constrained")
    axes = figure.subplots(shown, 1, sharex=True, squeeze=False)[:, 0]
    for episode, ax in enumerate(axes):
        own = [chunk for chunk in chunks if chunk.episode == episode]
        ax.plot([chunk.step for chunk in own], [chunk.diagonality for chunk in own], color="0.7", zorder=1)
        for color, phase in enumerate(PHASES):
            there = [chunk for chunk in own if chunk.phase == phase]
            steps, scores = [chunk.step for chunk in there], [chunk.diagonality for chunk in there]
            ax.scatter(steps, scores, color=f"C{color}", label=phase, s=18)
        ax.set_ylabel("diagonality")
    axes[0].legend(ncols=len(PHASES), fontsize=8)
    axes[-1].set_xlabel("step")
    return figure


def _verdict(chunks: Sequence[Chunk]) -> str:
    from scipy.stats import spearmanr

    fine = np.mean([chunk.diagonality for chunk in chunks if PHASES[chunk.phase]])
    fast = np.mean([chunk.diagonality for chunk in chunks if not PHASES[chunk.phase]])
    rank = float(spearmanr([chunk.speed for chunk in chunks], [chunk.diagonality for chunk in chunks]).statistic)
    outcome = "comes out" if fine > fast and rank < 0 else "does not come out"
    return (
        "The paper finds Q more diagonal in fine manipulation, where commands are small, than in fast transitions. "
        f"Here the mean is {fine:.3f} in fine phases and {fast:.3f} in fast ones, the rank correlation of speed and "
        f"diagonality {rank:+.2f}: it {outcome}."
    )
