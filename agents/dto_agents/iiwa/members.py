"""Train a shipped agent of the iiwa, from a data set to a member of a zoo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from dto_agents import zoo
from dto_agents.iiwa.agents import ENV_ID, LEARNED, write_agent
from dto_agents.iiwa.datasets import DatasetError, load_plan
from dto_agents.iiwa.ivp import SamplingOptions, described, run_sampling
from dto_agents.iiwa.qrnet import Blend
from dto_agents.iiwa.training import TrainingOptions
from dto_envs.iiwa.constants import SIDES

WIDE = "iiwa-qrnet-wide"


@dataclass(frozen=True)
class MemberRecipe:
    """What ``dto-train`` does for an agent.

    Attributes:
        sampling: iterations and networks; the plain network has none of the former.
    """

    sampling: SamplingOptions = field(default_factory=SamplingOptions)


def recipe_for(agent: str) -> MemberRecipe:
    """The recipe of ``iiwa-qrnet`` (IVP-ART, three iterations, then their mean) or ``iiwa-mlp`` (no iterations).

    ``iiwa-qrnet-wide`` is for the largest cube of starts: the LQR fades in and the network out between 0.5 and 0.2 s,
    layers are 128 wide, and moves off the trajectories three times as large take the place of iterations. It wants
    2,000 training problems (``dto-demos optimal --side 2 --train 2000``).

    Measured on 100 starts with one training: 40 epochs of 1024 samples at the paper's rate, torque errors counted joint
    by joint, reach 61 % at a cost ratio of 4.7; moves off the trajectories lift that to 82 % and 2.9; 30 epochs of 256
    samples with a rate that falls from 3e-3, and errors counted by their cost, to 98 % and 1.27. Wide, on
    side 2 with 2,000 problems and 4 epochs: moves of up to 0.05 rad 86 % and 2.4, of 0.1 92 % and 1.9, of 0.2 91 % and
    2.0; of 0.15 with 10 epochs 97 % and 1.43, with 20 98 % and 1.31.

    Raises:
        ValueError: another agent.
    """
    if agent not in LEARNED:
        raise ValueError(f"{agent} is not one of {', '.join(LEARNED)}")
    training = TrainingOptions(
        epochs=24, batch=256, learning_rate=3e-3, final_rate=0.01, feedback_share=0.5, feedback_spread=0.05
    )
    if agent == "iiwa-mlp":
        return MemberRecipe(SamplingOptions(iterations=0, training=replace(training, kind="mlp")))
    if agent == WIDE:
        training = replace(
            training, kind="faded", blend=Blend(0.2, 0.5), widths=(128,) * 4, epochs=20, feedback_spread=0.15
        )
        return MemberRecipe(SamplingOptions(iterations=0, training=training))
    return MemberRecipe(SamplingOptions(iterations=3, training=training))


def train_member(
    agent: str,
    data: Path,
    *,
    seed: int,
    root: Path,
    recipe: MemberRecipe | None = None,
    workers: int = 1,
    report: Callable[[str], None] = lambda line: None,
) -> Path:
    """Train one member, or finish training it; returns the weights file.

    Args:
        agent: ``iiwa-qrnet`` or ``iiwa-mlp``.
        data: folder that ``dto-demos optimal`` wrote.
        seed: training seed.
        root: of the zoo that gets the weights; what is needed to go on lies beside them in ``seed<k>.run``.
        recipe: what to do; the agent's by default.
        workers: processes that solve.
        report: called with a line as things end.

    Raises:
        FileExistsError: the member is trained already.
        dto_agents.training.TrainingError: training cannot go on.
        dto_agents.iiwa.datasets.DatasetError: ``data`` is no data set, or one of another side than the agent's.
    """
    recipe = recipe or recipe_for(agent)
    path = zoo.claim(agent, ENV_ID, seed, root)
    plan = load_plan(data)
    if agent == WIDE and plan.side != SIDES[-1]:
        raise DatasetError(
            f"{WIDE} learns from starts of side {SIDES[-1]:g}, but {data} has side {plan.side:g}; collect a data set "
            f"with dto-demos optimal --side {SIDES[-1]:g}, or train iiwa-qrnet"
        )
    options = recipe.sampling
    policies = run_sampling(data, path.with_suffix(".run"), options, seed, workers=workers, report=report)
    kept = policies[1:] or policies
    card = {
        "recipe": {"steps": options.training.epochs * len(policies), **described(options)},
        "data": asdict(plan),
    }
    return write_agent(agent, seed, kept, card, root)
