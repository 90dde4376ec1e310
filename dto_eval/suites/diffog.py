"""DiffOG's tables and figures on the tasks whose policies are trained: ``dto-eval --suite diffog``.

Tables I, V and VI and the metrics of Figures 8 and 9, each beside the paper's figures, with the filters that are ours:
exact projection and tracking. A run has 1,500 episodes (``--episodes``), more where more were played; runs are kept in
the suite's folder, and run folders of ``dto-eval`` may be put there. What turns a knob is in :mod:`.diffog_sweeps`,
Figure 11 in :mod:`.diffog_structure`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dto_eval.suites import SuiteOptions
from dto_eval.suites.diffog_paper import DESIGNS, SECONDS, SUCCESS, TASKS
from dto_eval.suites.diffog_structure import write_structure
from dto_eval.suites.diffog_sweeps import write_sweeps
from dto_eval.suites.page import Page
from dto_eval.suites.runs import Done, Planned, Runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EPISODES = 1500
BATCH, CALLS = 25, 50
LABELS = {
    "base": "base policy",
    "clipping": "clipping",
    "penalty": "penalty",
    "projection": "exact projection (ours)",
    "tracking": "tracking (ours)",
    "static-q": "static Q",
    "matrix": "matrix learning",
    "matrix-refine": "matrix learning, refine",
    "diffog": "DiffOG, dataset training",
    "diffog-refine": "DiffOG, refine training",
}
MAIN = ("base", "diffog", "diffog-refine", "clipping", "penalty", "projection", "tracking")
Q_DESIGNS = ("diffog", "diffog-refine", "static-q", "matrix", "matrix-refine", "projection", "tracking")
MEASURED = (": interval", ": episodes")
DESIGN_TASKS = ("Square", "ToolHang", "Transport")


def run(options: SuiteOptions) -> Path:
    """Write the results page.

    Raises:
        ValueError: fewer than one episode.
    """
    episodes = EPISODES if options.episodes is None else options.episodes
    if episodes < 1:
        raise ValueError(f"--episodes must be at least 1, but is {episodes}: those of every run")
    runs = Runs(options)
    table = {
        task: {agent: done for agent in LABELS if (done := _get(runs, task, agent, episodes)) is not None}
        for task in TASKS
    }
    page = Page("DiffOG's tables on these tasks", options.out)
    page.text(_introduction(episodes, [task for task in TASKS if not table[task]]))
    page.heading("Table I: success")
    _success(page, table)
    page.heading("Success against smoothness, paired")
    _paired(page, table)
    page.heading("Figures 8 and 9: motion")
    _motion(page, table)
    page.heading("Table V: designs of Q")
    _designs(page, table)
    page.heading("Table VI: seconds of a batch")
    _seconds(page, options)
    write_structure(page, options)
    write_sweeps(page, options, runs, episodes)
    return page.write()


def _get(runs: Runs, task: str, agent: str, episodes: int) -> Done | None:
    if agent in ("static-q", "matrix", "matrix-refine") and task not in DESIGN_TASKS:
        return None
    return runs.get(Planned(f"dto/{task}-v0", agent, episodes))


def _introduction(episodes: int, missing: Sequence[str]) -> str:
    return (
        f"Every run has {episodes} episodes or more, the number is shown: the trained seeds of a diffusion policy on "
        "state observations, the same frozen initial states, the paper's limits on differences. The paper's policies "
        "see images and learned from human demonstrations; ours see the state and learned from scripted experts that "
        "move like a person, Push-T from the human demonstrations. Intervals are 95 % two-way cluster bootstrap over "
        "seeds and initial states." + (f" No policy is trained yet for {', '.join(missing)}." if missing else "")
    )


def headline(done: Done) -> dict[str, float]:
    """The figure that leads a task's board with its interval: the success rate, on Push-T the score."""
    from dto_envs.registry import row

    summary = done.summary
    return summary["score" if row(summary["env_id"]).headline == "score" else "success_rate"]


def _cells(done: Done | None) -> list[Any]:
    """The headline of a run, its interval and the number of episodes; nothing where there is no run."""
    if done is None:
        return [None, None, None]
    figure = headline(done)
    return [figure["mean"], _interval(figure), done.episodes]


def _success(page: Page, table: dict[str, dict[str, Done]]) -> None:
    columns = ["method"]
    columns += [f"{task}{part}" for task in TASKS if table[task] for part in ("", *MEASURED, ": paper")]
    rows = []
    for agent in MAIN:
        cells: list[Any] = [LABELS[agent]]
        for place, task in enumerate(TASKS):
            if table[task]:
                published = SUCCESS[agent][place] if agent in SUCCESS else None
                cells += [*_cells(table[task].get(agent)), published]
        rows.append(cells)
    page.table("table1", columns, rows, caption="Success rate, on Push-T the mean score.")
    page.text(_orders(table))


def _orders(table: dict[str, dict[str, Done]]) -> str:
    """Where the paper's order, DiffOG above clipping and penalty, comes out, by paired intervals."""
    lines = []
    for task in TASKS:
        for other in ("clipping", "penalty"):
            if not {"diffog", other} <= table[task].keys():
                continue
            gain = _gain(table[task][other], table[task]["diffog"])
            verdict = "comes out" if gain["lo"] > 0 else "is reversed" if gain["hi"] < 0 else "is undecided"
            lines.append(f"{task}: DiffOG above {other} {verdict} ({100 * gain['mean']:+.1f} points {_points(gain)}).")
    return " ".join(["The paper finds DiffOG above clipping and penalty, or level, on every task.", *lines])


def _paired(page: Page, table: dict[str, dict[str, Done]]) -> None:
    """Every filter against the base policy and against DiffOG, episode by episode."""
    columns = ["task", "method", "against the base", "interval", "against DiffOG", "interval", "std of differences"]
    columns += ["mean steps", "episodes"]
    rows = []
    for task in TASKS:
        done = table[task]
        for agent in MAIN[1:]:
            if agent not in done or "base" not in done:
                continue
            cells: list[Any] = [task, LABELS[agent]]
            for other in ("base", "diffog"):
                gain = _gain(done[other], done[agent]) if other in done and other != agent else None
                cells += [None, None] if gain is None else [gain["mean"], _interval(gain)]
            summary = done[agent].summary
            rows.append([*cells, summary["std_difference"]["mean"], summary["steps"]["mean"], done[agent].episodes])
    page.table("paired", columns, rows, digits=4, caption="Differences of success (Push-T: score), paired by episode.")


def _motion(page: Page, table: dict[str, dict[str, Done]]) -> None:
    columns = ["task", "group", "unit", "method", "max of differences", "std of differences"]
    columns += ["peak acceleration", "peak jerk", "SPARC", "episodes"]
    rows = [
        [task, group, figures["unit"], LABELS[agent], figures["max_difference"], figures["std_difference"]]
        + [figures["peak_acceleration"], figures["peak_jerk"], figures["sparc"], done.episodes]
        for task in TASKS
        for agent, done in table[task].items()
        if agent in MAIN
        for group, figures in done.summary["groups"].items()
    ]
    page.table(
        "motion",
        columns,
        rows,
        caption="Differences of successive commands, normalised; peaks in the group's unit per s and s².",
    )
    page.figure("motion", _bars(table), "Largest difference and standard deviation of differences, mean over episodes.")


def _bars(table: dict[str, dict[str, Done]]) -> Figure:
    from matplotlib.figure import Figure

    tasks = [task for task in TASKS if table[task]]
    figure = Figure(figsize=(1.2 + 2.4 * len(tasks), 5.2), layout="constrained")
    axes = figure.subplots(2, max(len(tasks), 1), squeeze=False)
    for column, task in enumerate(tasks):
        agents = [agent for agent in MAIN if agent in table[task]]
        for line, (key, label) in enumerate((("max_difference", "largest"), ("std_difference", "standard deviation"))):
            values = [table[task][agent].summary[key]["mean"] for agent in agents]
            colors = [f"C{MAIN.index(agent)}" for agent in agents]
            axes[line, column].barh(range(len(agents)), values, color=colors)
            axes[line, column].set_yticks(range(len(agents)), agents if column == 0 else [""] * len(agents))
            axes[line, column].invert_yaxis()
            axes[line, column].set_title(f"{task}: {label}", fontsize=9)
            axes[line, column].axvline(table[task][agents[0]].summary["bound"], color="0.4", lw=0.8, ls=":")
    return figure


def _designs(page: Page, table: dict[str, dict[str, Done]]) -> None:
    tasks = [task for task in DESIGN_TASKS if table[task]]
    columns = ["design", *(f"{task}{part}" for task in tasks for part in ("", *MEASURED))]
    columns += ["ToolHang: paper", "Transport: paper"]
    rows = []
    for agent in Q_DESIGNS:
        cells: list[Any] = [LABELS[agent]]
        for task in tasks:
            cells += _cells(table[task].get(agent))
        rows.append([*cells, *DESIGNS.get(agent, (None, None))])
    page.table("table5", columns, rows)


def _seconds(page: Page, options: SuiteOptions) -> None:
    rows = [
        [LABELS[agent], seconds, SECONDS.get(agent)]
        for agent in ("base", "static-q", "matrix", "diffog", "projection", "tracking")
        if (seconds := batch_seconds("dto/Square-v0", agent, options.weights)) is not None
    ]
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


def batch_seconds(env_id: str, agent: str, weights: Path | None = None) -> float | None:
    """Median seconds of processor time of a batched call of an agent; None where it is not trained."""
    import time

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
    seen = np.repeat(observation[None], BATCH, axis=0)
    if (history := getattr(policy, "n_obs_steps", None)) is not None:
        seen = np.repeat(seen[:, None], history, axis=1)
    policy.reset(range(BATCH))
    times = []
    for _ in range(CALLS + 2):
        start = time.process_time()
        policy.act(seen)
        times.append(time.process_time() - start)
    return float(np.median(times[2:]))  # the first calls load and compile


def _gain(first: Done, second: Done) -> dict[str, float]:
    """``second - first``, paired, of the figure that leads the task's board."""
    from dto_envs.registry import row
    from dto_eval.comparison import compare_runs

    name = "score" if row(first.run.run.protocol.env_id).headline == "score" else "success_rate"
    return compare_runs(first.run, second.run).differences[name].as_dict()


def _interval(figure: dict[str, float]) -> str:
    return f"[{figure['lo']:.3f}, {figure['hi']:.3f}]"


def _points(figure: dict[str, float]) -> str:
    return f"[{100 * figure['lo']:.1f}, {100 * figure['hi']:.1f}]"
