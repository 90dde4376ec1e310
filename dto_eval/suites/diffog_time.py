"""How long a decision takes: the suite diffog's Tables IV and VI, by processor time of one core."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dto_eval.suites import SuiteOptions
from dto_eval.suites.diffog_paper import LAYER_SECONDS, SECONDS
from dto_eval.suites.diffog_tables import LABELS
from dto_eval.suites.page import Page

BATCH, CALLS = 25, 50


def write_layer_seconds(page: Page, options: SuiteOptions) -> None:
    """Add Table IV: a decision for one robot, of the policy and of DiffOG's layer behind it."""
    page.heading("Table IV: seconds of one robot's decision")
    rows = []
    for task, published in LAYER_SECONDS.items():
        policy, both = (
            batch_seconds(f"dto/{task}-v0", agent, options.weights, batch=1) for agent in ("base", "diffog")
        )
        if policy is None or both is None:
            page.text(f"Left out: {task}, whose policy or whose DiffOG is not trained.")
            continue
        rows += [[task, LABELS["base"], policy, published[0]], [task, "DiffOG's layer", both - policy, published[1]]]
    if rows:
        page.table(
            "table4",
            ["task", "what", "ours, one core [s]", "paper [s]"],
            rows,
            digits=4,
            caption=f"A batch of 1, the median of {CALLS} calls, by processor time; the paper's on a graphics card.",
        )


def write_batch_seconds(page: Page, options: SuiteOptions) -> None:
    """Add Table VI."""
    page.heading("Table VI: seconds of a batch")
    agents = ("base", "static-q", "matrix", "diffog", "projection", "tracking")
    taken = {agent: batch_seconds("dto/Square-v0", agent, options.weights) for agent in agents}
    measured = {agent: seconds for agent, seconds in taken.items() if seconds is not None}
    rows = [[LABELS[agent], seconds, SECONDS.get(agent)] for agent, seconds in measured.items()]
    page.table(
        "table6",
        ["method", "ours, one core [s]", "paper [s]"],
        rows,
        digits=4,
        caption=(
            f"Square, a batch of {BATCH}, the median of {CALLS} calls, base policy included, by processor time. The "
            "paper's base runs 100 DDPM steps on a graphics card; ours is small and takes fewer."
        ),
    )
    page.text(_costs(measured))


def _costs(measured: Mapping[str, float]) -> str:
    if not {"base", "static-q", "diffog"} <= measured.keys():
        return "Static Q and DiffOG are not both trained."
    static, diffog = (1e3 * (measured[agent] - measured["base"]) for agent in ("static-q", "diffog"))
    outcome = "it comes out" if diffog < 1.5 * static else "it does not come out, the transformer takes most"
    return (
        "The paper finds that static Q, a matrix and the transformer cost about the same, so that solving takes the "
        f"time. Here static Q adds {static:.1f} ms to the base policy and DiffOG {diffog:.1f} ms: {outcome}."
    )


def batch_seconds(env_id: str, agent: str, weights: Path | None = None, *, batch: int = BATCH) -> float | None:
    """Median seconds of processor time of a batched call of an agent; None where it is not trained."""
    import gymnasium

    import dto_envs  # noqa: F401  registers the ids
    from dto_agents.catalogue import make_agent, members
    from dto_agents.zoo import MissingWeightsError

    try:
        member = members(agent, env_id, weights=weights)[0]
    except MissingWeightsError:
        return None
    policy: Any = make_agent(agent, env_id, member.name, weights=weights)
    env = gymnasium.make(env_id)
    observation, _ = env.reset(seed=0)
    env.close()
    seen = np.repeat(observation[None], batch, axis=0)
    if (history := getattr(policy, "n_obs_steps", None)) is not None:
        seen = np.repeat(seen[:, None], history, axis=1)
    policy.reset(range(batch))
    times = []
    for _ in range(CALLS + 2):
        start = time.process_time()
        policy.act(seen)
        times.append(time.process_time() - start)
    return float(np.median(times[2:]))  # the first calls load and compile
