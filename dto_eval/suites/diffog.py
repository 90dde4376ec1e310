"""DiffOG's tables and figures on the tasks whose policies are trained: ``dto-eval --suite diffog``.

Tables I to VII and the metrics of Figures 8 and 9, each beside the paper's figures, with the filters that are ours:
exact projection and tracking. A run has 1,500 episodes (``--episodes``), more where more were played; runs are kept in
the suite's folder, and run folders of ``dto-eval`` may be put there. What turns a knob is in :mod:`.diffog_sweeps`,
Figure 11 in :mod:`.diffog_structure`. What a sweep turns, and LeTO where it is not shipped, is trained from ``--data``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dto_eval.suites import SuiteOptions
from dto_eval.suites.diffog_paper import LETO
from dto_eval.suites.diffog_structure import write_structure
from dto_eval.suites.diffog_sweeps import write_sweeps
from dto_eval.suites.diffog_tables import GROUPS, write_designs, write_leto, write_motion, write_paired, write_success
from dto_eval.suites.diffog_time import write_batch_seconds, write_layer_seconds
from dto_eval.suites.page import Page
from dto_eval.suites.runs import Done, Planned, Runs
from dto_eval.suites.training import weights_of

EPISODES = 1500


def run(options: SuiteOptions) -> Path:
    """Write the results page.

    Raises:
        ValueError: fewer than one episode.
    """
    episodes = options.count(EPISODES, "those of every run")
    runs = Runs(options)
    table, missing = {}, []
    for group in GROUPS:
        tasks: dict[str, dict[str, Done]] = {}
        for task in group.tasks:
            found = {agent: runs.get(group.planned(task, agent, episodes)) for agent in group.agents(task)}
            tasks[task] = {agent: done for agent, done in found.items() if done is not None}
            missing += [] if tasks[task] else [f"{task}{group.sees}"]
        if any(tasks.values()):
            table[group] = {task: done for task, done in tasks.items() if done}
    page = Page("DiffOG's tables on these tasks", options.out)
    page.text(_introduction(episodes, missing))
    write_success(page, table)
    write_paired(page, table)
    write_motion(page, table)
    write_layer_seconds(page, options)
    write_designs(page, table.get(GROUPS[0], {}))
    write_batch_seconds(page, options)
    write_leto(page, table, _leto(runs, options, episodes))
    write_structure(page, options)
    write_sweeps(page, options, runs, episodes)
    return page.write()


def _leto(runs: Runs, options: SuiteOptions, episodes: int) -> dict[str, Done]:
    """LeTO on Table VII's tasks, where it is shipped or can be trained."""
    found = {}
    for task in LETO:
        env_id = f"dto/{task}-v0"
        weights = weights_of(options, env_id, "leto", "ph", episodes)
        done = runs.get(Planned(env_id, "leto", episodes, weights=weights, label="ph" if weights else ""))
        if done is not None:
            found[task] = done
    return found


def _introduction(episodes: int, missing: Sequence[str]) -> str:
    return (
        f"Every run has {episodes} episodes or more, the number is shown: the trained seeds of a policy, the same "
        "frozen initial states, the paper's limits on differences. The paper's diffusion policies see images and "
        "learned from human demonstrations; ours see the state where no heading says more, and learned from scripted "
        "experts that move like a person, on Push-T from human demonstrations. Intervals are 95 % two-way cluster "
        "bootstrap over seeds and initial states."
        + (f" No policy is trained yet for {', '.join(missing)}." if missing else "")
    )
