"""Tables of the suite diffog made of whole runs: success (I to III), paired, motion (Figures 8, 9), designs, LeTO.

A group of tasks shares a base policy and a table; within it a run is named by its filter, the bare policy is ``base``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dto_eval.suites.diffog_paper import ALOHA, DESIGNS, LETO, META_WORLD, ROBOMIMIC, SUCCESS
from dto_eval.suites.page import Page, interval
from dto_eval.suites.runs import Done, Planned
from dto_eval.suites.verdicts import gain, headline_name, lead, loss, points_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABELS = {
    "base": "base policy",
    "clipping": "clipping",
    "penalty": "penalty",
    "projection": "exact projection (ours)",
    "tracking": "tracking (ours)",
    "tracking-smooth": "tracking, alpha 16 (ours)",
    "static-q": "static Q",
    "matrix": "matrix learning",
    "matrix-refine": "matrix learning, refine",
    "diffog": "DiffOG, dataset training",
    "diffog-refine": "DiffOG, refine training",
    "leto": "LeTO",
}
MAIN = ("base", "diffog", "diffog-refine", "clipping", "penalty", "projection", "tracking")
DESIGN_TASKS = ("Square", "ToolHang", "Transport")
Q_DESIGNS = ("diffog", "diffog-refine", "static-q", "matrix", "matrix-refine", "projection", "tracking")
SMOOTH = {"alpha": 16.0}  # with which tracking is smoother than DiffOG on Square
MEASURED = (": interval", ": episodes")


@dataclass(frozen=True)
class Group:
    """Tasks whose success shares a table.

    Attributes:
        name: of the table's file.
        title: heading.
        tasks: names of tasks.
        base: base policy.
        sees: added to a task's name where it stands beside other groups' tasks.
    """

    name: str
    title: str
    tasks: tuple[str, ...]
    base: str = "diffusion"
    sees: str = ""

    def planned(self, task: str, agent: str, episodes: int) -> Planned:
        """The run of a method, one of :data:`LABELS`, on a task."""
        if agent == "tracking-smooth":
            return Planned(f"dto/{task}-v0", agent, episodes, SMOOTH, base="diffusion", filter="tracking")
        if self.base == "diffusion":
            return Planned(f"dto/{task}-v0", agent, episodes)
        if agent == "base":
            return Planned(f"dto/{task}-v0", self.base, episodes)
        return Planned(f"dto/{task}-v0", f"{self.base}-{agent}", episodes, base=self.base, filter=agent)

    def agents(self, task: str) -> tuple[str, ...]:
        """The methods that are run on a task; refine training has learned from what policies on states do."""
        if self.base != "diffusion":
            return tuple(agent for agent in MAIN if agent != "diffog-refine")
        return tuple(dict.fromkeys((*MAIN, "tracking-smooth", *Q_DESIGNS))) if task in DESIGN_TASKS else MAIN


GROUPS = (
    Group("table1", "Table I: success on RoboMimic's tasks and Push-T", ROBOMIMIC),
    Group("table1-images", "Table I's Push-T, from images", ("PushT",), "diffusion-image", " (images)"),
    Group("table2", "Table II: success on Meta-World's tasks, from point clouds", META_WORLD, "dp3", " (clouds)"),
    Group("table2-state", "Table II's tasks, from the state", META_WORLD),
    Group("table3", "Table III: success on ALOHA's tasks", ALOHA),
)
Table = Mapping[Group, Mapping[str, Mapping[str, Done]]]  # group -> task -> method -> run; none are empty


def every(table: Table) -> Iterator[tuple[str, Mapping[str, Done]]]:
    """All tasks of all groups, as other tables call them, and their runs by method."""
    for group, tasks in table.items():
        for task, done in tasks.items():
            yield f"{task}{group.sees}", done


def headline(done: Done) -> dict[str, float]:
    """The figure that leads a task's board with its interval: the success rate, on Push-T the score."""
    return done.summary[headline_name(done.summary["env_id"])]


def write_success(page: Page, table: Table) -> None:
    """Add Tables I to III, and whether the paper's order comes out."""
    for group, tasks in table.items():
        page.heading(group.title)
        columns = ["method", *(f"{task}{part}" for task in tasks for part in ("", *MEASURED, ": paper"))]
        rows = []
        for agent in MAIN:
            cells: list[Any] = [LABELS[agent]]
            for task, done in tasks.items():
                cells += [*_cells(done.get(agent)), SUCCESS[task].get(agent)]
            rows.append(cells)
        graded = ", on Push-T the mean score" if "PushT" in tasks else ""
        page.table(group.name, columns, rows, caption=f"Success rate{graded}.")
        page.text(_orders(tasks))


def _cells(done: Done | None) -> list[Any]:
    """The headline of a run, its interval and the number of episodes; nothing where there is no run."""
    if done is None:
        return [None, None, None]
    figure = headline(done)
    return [figure["mean"], interval(figure), done.episodes]


def _orders(tasks: Mapping[str, Mapping[str, Done]]) -> str:
    """Where the paper's order, DiffOG above clipping and penalty, comes out, by paired intervals."""
    lines = []
    for task, done in tasks.items():
        for other in ("clipping", "penalty"):
            if not {"diffog", other} <= done.keys():
                continue
            lines.append(f"{task}: DiffOG above {other} {lead(gain(done[other], done['diffog']))}.")
    return " ".join(["The paper finds DiffOG above clipping and penalty, or level, on every task.", *lines])


def write_paired(page: Page, table: Table) -> None:
    """Add every filter against the base policy and against DiffOG, episode by episode."""
    page.heading("Success and smoothness, paired")
    columns = ["task", "method", "success: above the base", "interval", "success: above DiffOG", "interval"]
    columns += ["std of differences", "std: above DiffOG", "interval", "mean steps", "episodes"]
    rows, verdicts = [], []
    for task, done in every(table):
        for agent in (*MAIN[1:], "tracking-smooth"):
            if agent not in done or "base" not in done:
                continue
            cells: list[Any] = [task, LABELS[agent], *_figures(gain(done["base"], done[agent]))]
            compared = "diffog" in done and agent != "diffog"
            more = gain(done["diffog"], done[agent]) if compared else None
            rougher = gain(done["diffog"], done[agent], "std_difference") if compared else None
            summary = done[agent].summary
            cells += [*_figures(more), summary["std_difference"]["mean"], *_figures(rougher)]
            rows.append([*cells, summary["steps"]["mean"], done[agent].episodes])
            if more and rougher and agent.startswith(("tracking", "projection")) and more["lo"] > 0 >= rougher["lo"]:
                verdicts.append(
                    f"{task}: {LABELS[agent]} solves {100 * more['mean']:.1f} points {points_interval(more)} more than "
                    f"DiffOG; its standard deviation of differences is {rougher['mean']:+.4f} {interval(rougher, 4)} "
                    "from it."
                )
    page.table("paired", columns, rows, digits=4, caption="Differences of success (Push-T: score), paired by episode.")
    found = verdicts or ["None is found here."]
    page.text(" ".join(["Filters that solve more than DiffOG and are not rougher, by paired intervals:", *found]))


def _figures(difference: Mapping[str, float] | None) -> list[Any]:
    return [None, None] if difference is None else [difference["mean"], interval(difference)]


def write_motion(page: Page, table: Table) -> None:
    """Add the metrics of Figures 8 and 9."""
    page.heading("Figures 8 and 9: motion")
    columns = ["task", "group", "unit", "method", "max of differences", "std of differences"]
    columns += ["peak acceleration", "peak jerk", "SPARC", "episodes"]
    rows = [
        [task, group, figures["unit"], LABELS[agent], figures["max_difference"], figures["std_difference"]]
        + [figures["peak_acceleration"], figures["peak_jerk"], figures["sparc"], done.episodes]
        for task, methods in every(table)
        for agent, done in methods.items()
        if agent in MAIN
        for group, figures in done.summary["groups"].items()
    ]
    page.table(
        "motion",
        columns,
        rows,
        caption="Differences of successive commands, normalised; peaks in the group's unit per s and s².",
    )
    caption = "largest difference and standard deviation of differences, mean over episodes."
    for group, tasks in table.items():
        title = group.title.partition(":")[0]
        page.figure(f"motion-{group.name}", _bars(tasks), f"{title}: {caption}")
    page.text(_calmer(table))


def _calmer(table: Table) -> str:
    """Whether every filter calms the base policy, as the paper finds, and which does most."""
    rougher, best, compared = [], [], 0
    for task, done in every(table):
        motion = {agent: run.summary for agent, run in done.items() if agent in MAIN}
        base = motion.pop("base", None)
        if base is None or not motion:
            continue
        compared += len(motion)
        for agent, summary in motion.items():
            if any(summary[key]["mean"] >= base[key]["mean"] for key in ("max_difference", "std_difference")):
                rougher.append(f"{LABELS[agent]} on {task}")
        calmest = min(motion, key=lambda agent: motion[agent]["std_difference"]["mean"])
        best.append(f"{LABELS[calmest]} on {task} ({motion[calmest]['std_difference']['mean']:.4f})")
    if not compared:
        return "No filter has been run beside its base policy."
    outcome = f"does not for {', '.join(rougher)}" if rougher else f"comes out in all {compared} comparisons"
    return (
        "The paper finds the largest difference and the standard deviation of differences lower behind every filter "
        f"than without one: it {outcome}. The smallest deviation is that of {'; '.join(best)}."
    )


def _bars(tasks: Mapping[str, Mapping[str, Done]]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.2 + 2.4 * len(tasks), 5.2), layout="constrained")
    axes = figure.subplots(2, len(tasks), squeeze=False)
    rows = [agent for agent in MAIN if any(agent in done for done in tasks.values())]
    for column, (task, done) in enumerate(tasks.items()):
        agents = [agent for agent in MAIN if agent in done]
        for line, (key, label) in enumerate((("max_difference", "largest"), ("std_difference", "standard deviation"))):
            values = [done[agent].summary[key]["mean"] for agent in agents]
            colors = [f"C{MAIN.index(agent)}" for agent in agents]
            axes[line, column].barh([rows.index(agent) for agent in agents], values, color=colors)
            axes[line, column].set_yticks(range(len(rows)), rows if column == 0 else [""] * len(rows))
            axes[line, column].set_ylim(len(rows) - 0.5, -0.5)
            axes[line, column].set_title(f"{task}: {label}", fontsize=9)
            axes[line, column].axvline(done[agents[0]].summary["bound"], color="0.4", lw=0.8, ls=":")
    return figure


def write_designs(page: Page, tasks: Mapping[str, Mapping[str, Done]]) -> None:
    """Add Table V from the runs of Table I's tasks."""
    page.heading("Table V: designs of Q")
    chosen = [task for task in DESIGN_TASKS if task in tasks]
    columns = ["design", *(f"{task}{part}" for task in chosen for part in ("", *MEASURED))]
    columns += ["ToolHang: paper", "Transport: paper"]
    rows = []
    for agent in Q_DESIGNS:
        cells: list[Any] = [LABELS[agent]]
        for task in chosen:
            cells += _cells(tasks[task].get(agent))
        rows.append([*cells, *DESIGNS.get(agent, (None, None))])
    page.table("table5", columns, rows)
    page.text(_design_orders({task: tasks[task] for task in chosen}))


def _design_orders(tasks: Mapping[str, Mapping[str, Done]]) -> str:
    lines = [
        f"{task}: DiffOG above {LABELS[other]} {lead(gain(done[other], done['diffog']))}."
        for task, done in tasks.items()
        for other in ("static-q", "matrix")
        if {"diffog", other} <= done.keys()
    ]
    lines += [
        f"{task}: {LABELS['matrix-refine']} below matrix learning {loss(gain(done['matrix'], done['matrix-refine']))}."
        for task, done in tasks.items()
        if {"matrix", "matrix-refine"} <= done.keys()
    ]
    claim = (
        "The paper, on ToolHang and Transport, finds DiffOG best, and refine training more than matrices can follow."
    )
    return " ".join([claim, *lines])


def write_leto(page: Page, table: Table, leto: Mapping[str, Done]) -> None:
    """Add Table VII: LeTO, ``leto`` by task, beside DiffOG, on Meta-World from point clouds where there are any."""
    page.heading("Table VII: DiffOG and LeTO")
    filtered: dict[str, Mapping[str, Done]] = {}
    for tasks in table.values():
        filtered = {**tasks, **filtered}
    columns = ["method", *(f"{task}{part}" for task in leto for part in ("", *MEASURED, ": paper"))]
    rows = []
    for agent in ("diffog", "diffog-refine", "leto"):
        cells: list[Any] = [LABELS[agent]]
        for task, own in leto.items():
            done = own if agent == "leto" else filtered.get(task, {}).get(agent)
            cells += [*_cells(done), LETO[task] if agent == "leto" else SUCCESS[task][agent]]
        rows.append(cells)
    page.table("table7", columns, rows, caption="The same limits on differences for all.")
    page.text(_leads(leto, filtered))


def _leads(leto: Mapping[str, Done], filtered: Mapping[str, Mapping[str, Done]]) -> str:
    lines = []
    for task, own in leto.items():
        if (other := filtered.get(task, {}).get("diffog")) is None:
            continue
        lines.append(f"{task}: it {lead(gain(own, other))}.")
    return " ".join(["The paper finds DiffOG above LeTO on every task.", *lines])
