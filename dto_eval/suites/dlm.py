"""Suite ``dlm``: Table 1 and Figure 6 of the DLM paper (Aceituno et al., 2021) on ``dto/PlanarPush-v0``.

Every agent plays every task of the five sets in pymunk, from the task's video; only the oracles are told the task. The
paper's own training, 100 iterations on each loss, is done by the suite; networks that learned longer are those shipped,
or those of ``--weights``. Losses that have been measured lie in ``<out>/data``: an interrupted suite goes on there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from dto_agents import zoo
from dto_agents.catalogue import make_agent, members
from dto_agents.planar import dataset, learning
from dto_agents.planar.learning import AGENTS, ENV_ID, load_network
from dto_agents.planar.losses import LOSSES, Lessons
from dto_agents.planar.recipe import PAPER, Recipe
from dto_agents.planar.simulator import SimulatorOptions
from dto_envs.planar_push.tasks import SETS, task_set
from dto_eval.suites import SuiteOptions, dlm_mechanics, dlm_parameters
from dto_eval.suites.page import Page

CLIP = 100.0  # cm^2; one object that flies off would decide a mean without it
# The paper's Table 1: training, fine-tuning, test and family set, then seconds backward and forward a data point.
PUBLISHED: Mapping[str, tuple[float | None, ...]] = {
    "nn": (8.5, None, 9.5, 10.0, 0.05, 0.06),
    "nnm": (None, 15.0, 11.0, 15.0, 40.0, 0.06),
    "mdr": (4.5, None, 7.5, 4.5, 0.10, 0.11),
    "cvx": (2.0, None, 4.0, 3.5, 0.23, 0.11),
    "dlm": (None, 1.5, 3.5, 3.5, 40.0, 0.11),
    "miqp": (None, None, None, None, None, 0.57),
}
REFERENCES = {
    "miqp": "MIQP, told the task",
    "expert": "enumeration, told the task",
    "planar-blind": "shape-blind mean offset",
    "planar-other": "another task's plan",
    "hold": "no fingers",
}
TOLD = ("miqp", "expert", "hold")  # read the state; hold does so to stay where it is
PAPER_SEED = 42
TIMED = 20


@dataclass(frozen=True)
class Row:
    """A line of the tables: an agent with the losses of all its members.

    Attributes:
        title: what the page calls it.
        key: name in :data:`PUBLISHED`, or empty.
        steps: iterations on each loss, None where nothing is trained.
        seeds: number of members.
        losses: set -> (members, tasks) trajectory losses in cm^2.
    """

    title: str
    key: str
    steps: int | None
    seeds: int
    losses: Mapping[str, np.ndarray]


def run(options: SuiteOptions) -> Path:
    """Measure all agents and write the page.

    Args:
        options: ``episodes`` is the number of tasks of each set, all where None; ``weights`` a folder of dto-train.
    """
    paper_weights = _train_as_published(options)
    rows = [_row(options, name, title, None) for name, title in REFERENCES.items()]
    for kind in AGENTS:
        rows.append(_row(options, kind, f"{kind.upper()}, as published", paper_weights, "-published"))
    for size, title in (("", ""), ("-large", ", more tasks"), ("-huge", ", 2,000 more tasks")):
        for kind in AGENTS:
            try:
                rows.append(_row(options, f"{kind}{size}", f"{kind.upper()}{title}", options.weights))
            except zoo.MissingWeightsError as error:
                options.console.print(f"left out: {error}")
    return _write(rows, options, paper_weights)


def _train_as_published(options: SuiteOptions) -> Path:
    """Train the five architectures with the paper's numbers; returns their zoo."""
    data, root = options.out / "data" / "planar.hdf5", options.out / "data" / "weights"
    if not data.exists():
        options.console.print("solving the training and the fine-tuning set")
        dataset.write(data, [(name, dataset.solve_set(name)) for name in ("train", "fine-tune")])
    for agent in ("nnm", "dlm"):
        if not zoo.member_path(agent, ENV_ID, PAPER_SEED, root).with_suffix(".json").exists():
            options.console.print(f"training {agent} as published, {PAPER.steps} iterations on each loss")
            learning.train_network(agent, data, PAPER, seed=PAPER_SEED, root=root)
    return root


def _row(options: SuiteOptions, name: str, title: str, weights: Path | None, suffix: str = "") -> Row:
    """Measure all members of an agent, or read what has been measured."""
    infos = members(name, ENV_ID, weights=weights)
    steps = None
    if infos[0].weights:
        entries = zoo.list_members(name, ENV_ID, weights)
        steps = entries[0].card["recipe"]["steps"]
    losses: dict[str, list[np.ndarray]] = {}
    for info in infos:
        path = options.out / "data" / f"{name}{suffix}-{info.name}.json"
        wanted = {"weights": dict(info.weights), "tasks": options.episodes}
        stored = json.loads(path.read_text()) if path.exists() else {}
        if {key: stored.get(key) for key in wanted} != wanted:
            options.console.print(f"playing {name}{suffix} {info.name}")
            agent = make_agent(name, ENV_ID, info.name, weights=weights)
            stored = {**wanted, "losses": {each: play(agent, name, each, options.episodes) for each in SETS}}
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(stored) + "\n", encoding="utf-8")
        for each, values in stored["losses"].items():
            losses.setdefault(each, []).append(np.array(values))
    key = name.removesuffix("-large").removesuffix("-huge")
    return Row(
        title,
        key if key in PUBLISHED else "",
        steps,
        len(infos),
        {each: np.stack(values) for each, values in losses.items()},
    )


def play(agent: Any, name: str, set_name: str, count: int | None = None) -> list[float]:
    """Trajectory losses in cm^2 of an agent on the first ``count`` tasks of a set, in the environment."""
    env = gymnasium.make(ENV_ID, obs_type="state" if name in TOLD else "image", object_set=set_name)
    losses = []
    size = task_set(set_name).size
    for index in range(min(count or size, size)):
        observation, _ = env.reset(options={"task": index})
        agent.reset([index])
        terminated, info, chunk = False, {}, []
        for _ in range(5):
            if not len(chunk):
                actions = agent.act(np.asarray(observation)[None])[0]
                chunk = list(np.atleast_2d(actions))
            observation, _, terminated, _, info = env.step(chunk.pop(0))
        losses.append(round(float(info["trajectory_loss"]), 6))
    env.close()
    return losses


def _write(rows: Sequence[Row], options: SuiteOptions, paper_weights: Path) -> Path:
    page = Page("Pushing objects as a video shows: the DLM paper's Table 1 and Figure 6", options.out)
    counts = ", ".join(f"{rows[1].losses[name].shape[1]} {name}" for name in SETS)
    page.text(
        f"Tasks: {counts}. Agents play them in `dto/PlanarPush-v0` by position commands alone. Losses are in cm^2, the "
        "mean over keyframes and x, y, 3 cm sin(angle). All networks see the video and nothing else, centred on the "
        "object. *As published*: Adam at 1e-4, 100 iterations on each loss, 20 tasks, one seed, trained by this suite. "
        "Other trained rows: Adam at 1e-3, on L_sim at 3e-4, falling to zero along a cosine, batches of 40, mirror "
        "images of the tasks and airborne motions run backwards, and in L_P facets that weigh "
        f"{Recipe.facet_weight:g} times what the other parameters do. {_more_tasks(options)}The paper's numbers come "
        "from another simulator, with gravity of 0.5 m/s^2, and from other tasks: compare orders, not digits."
    )
    page.heading("Table 1: trajectory loss, median")
    page.table("table1-median", _columns("paper: test", "paper: family"), [_medians(row) for row in rows], digits=2)
    page.text(
        "Medians over tasks; where there are several seeds, the mean of their medians. In brackets below: the smallest "
        "and the largest median of a seed."
    )
    page.text("\n".join(f"- {finding}" for finding in (*findings(rows), *remarks(rows))))
    page.text(
        "The same agents on 1,500 tasks that seeds draw, and behind filters: "
        "[the board](../../README.md#dtoplanarpush-v0)."
    )
    page.heading(f"Trajectory loss, mean clipped at {CLIP:g}")
    page.table("table1-mean", _columns(), [_means(row) for row in rows], digits=1)
    page.heading("What derendering has to get right")
    try:
        page.table(
            "parameters", dlm_parameters.COLUMNS, dlm_parameters.rows(options.weights, options.episodes), digits=2
        )
        page.text(PARAMETERS_TEXT)
        geometry = dlm_parameters.geometry(options.weights, options.episodes)
        page.table("geometry", dlm_parameters.GEOMETRY_COLUMNS, geometry, digits=2)
        page.text(GEOMETRY_TEXT)
    except zoo.MissingWeightsError as error:
        page.text(f"Left out: {error}")
    page.heading("The simulator and the layer that gradients go through")
    examples = dataset.read(options.out / "data" / "planar.hdf5", "train")
    page.table("simulator", dlm_mechanics.COLUMNS, dlm_mechanics.gaps(examples), digits=3)
    page.text(
        "Largest distance over the keyframes between an object's positions in the differentiable simulator and in "
        f"pymunk, median over the training tasks, for the expert's targets with noise. Training uses a kappa of "
        f"{SimulatorOptions.kappa:.0f}. {dlm_mechanics.layer_sentence(examples)}"
    )
    page.heading("Seconds a data point")
    columns = ["", "forward", "backward", "paper: forward", "paper: backward"]
    page.table("seconds", columns, _seconds(options, paper_weights), digits=4)
    page.text(
        f"CPU time on one core. Forward: from observation to action, one task at a time, mean over {TIMED}. Backward: "
        f"gradient of the architecture's last loss, in a batch of {TIMED}, divided by it. The paper differentiates its "
        "simulator by finite differences."
    )
    page.heading("Figure 6: learning curves")
    page.figure(
        "curves",
        _curves(options),
        "Median loss in the differentiable simulator while training, by set; one seed. Stages follow one another.",
    )
    return page.write()


def _more_tasks(options: SuiteOptions) -> str:
    """What the rows with more tasks have learned from, where there are any."""
    try:
        recipe = zoo.list_members("mdr-large", ENV_ID, options.weights)[0].card["recipe"]
    except zoo.MissingWeightsError:
        return ""
    weight = recipe.get("facet_weight", 1.0)
    facets = "" if weight == Recipe.facet_weight else "; in their L_P facets weigh no more than other parameters"
    return f"*More tasks*: {recipe['extra']} beside the training set, which L_sim sees without labels{facets}. "


PARAMETERS_TEXT = (
    "Median losses in the differentiable simulator, means over seeds. The layer is given the parameters that the "
    "networks derender, in part replaced by the true ones, those under which the expert plans. With true facets its "
    "plans are exact, whatever the rest; with predicted facets the truth of all the rest does not help."
)
GEOMETRY_TEXT = (
    "How deep below the object's surface fingers are sent, and how long the facets are that they are to touch: medians "
    "over tasks, keyframes, fingers and seeds. The training objects have 4 to 6 facets, those of the test set 12, half "
    "as long. There MDR predicts facets as long as those it has seen, chords of a rounder object, and sends fingers "
    "deepest into it; NN is shown fingers and needs no facets. CVX has learned from fingers too, through the layer."
)

# The paper's order, Table 1 and section 5: the first has the lower loss.
ORDERS = (("mdr", "nn"), ("cvx", "nn"), ("cvx", "mdr"), ("dlm", "cvx"), ("dlm", "nnm"))


def findings(rows: Sequence[Row]) -> list[str]:
    """A sentence for each order of the paper's, on the longest trained rows without further tasks: is it so here?"""
    trained: dict[str, Row] = {}
    for row in rows:
        if row.key and row.steps and row.title == row.key.upper():
            trained[row.key] = row
    sentences = []
    for lower, higher in ORDERS:
        if lower not in trained or higher not in trained:
            continue
        figures, agreed, overlaps = [], [], []
        for name in ("test", "family"):
            pair = [np.median(trained[key].losses[name], axis=1) for key in (lower, higher)]
            figures.append(f"{_spread(pair[0])} and {_spread(pair[1])} on {name}")
            agreed.append(pair[0].mean() < pair[1].mean())
            overlaps.append(pair[0].min() <= pair[1].max() and pair[1].min() <= pair[0].max() and len(pair[0]) > 1)
        verdict = "so it is here" if all(agreed) else "here on one set only" if any(agreed) else "here it is not"
        if not all(agreed) and all(overlaps):
            verdict = "here the seeds differ more than the two do"
        reason = "" if all(agreed) else _reason(lower, higher, trained)
        sentences.append(
            f"In the paper {lower.upper()} is below {higher.upper()}; {verdict} ({', '.join(figures)}; "
            f"{trained[lower].steps} iterations on each loss).{reason}"
        )
    return sentences


def _spread(medians: np.ndarray) -> str:
    """The mean of the seeds' medians, and their range."""
    ends = f" ({medians.min():.2f} to {medians.max():.2f})" if len(medians) > 1 else ""
    return f"{medians.mean():.2f}{ends}"


def _reason(lower: str, higher: str, trained: Mapping[str, Row]) -> str:
    """Why an order of the paper's may not come out, as far as it was measured."""
    if higher == "nn" and "train" in trained["nn"].losses:
        fitted = float(np.median(trained["nn"].losses["train"], axis=1).mean())
        return (
            f" The paper's NN stays in a local minimum, at {PUBLISHED['nn'][0]} on the tasks that it is trained on; "
            f"NN here sees centred frames and reaches {fitted:.2f} there, so that structure has less to add."
        )
    if (lower, higher) == ("dlm", "nnm") and "fine-tune" in trained["dlm"].losses:
        fitted = [float(np.median(trained[key].losses["fine-tune"], axis=1).mean()) for key in (lower, higher)]
        further = ": what it gains there does not carry over to other objects" if fitted[0] < fitted[1] else ""
        return (
            f" On the fine-tuning set, where the simulator teaches both, DLM reaches {fitted[0]:.2f} and NNM "
            f"{fitted[1]:.2f}{further}."
        )
    return ""


def remarks(rows: Sequence[Row]) -> list[str]:
    """Sentences on what the table says beside the paper's orders, where it does."""
    medians = {row.title: {name: float(np.median(row.losses[name], axis=1).mean()) for name in SETS} for row in rows}
    blind, nn, more = (medians.get(title) for title in (REFERENCES["planar-blind"], "NN", "NN, more tasks"))
    huge = medians.get("NN, 2,000 more tasks")
    published = [values["test"] for title, values in medians.items() if title.endswith("as published")]
    said = []
    if blind and published and min(published) > blind["test"]:
        said.append(
            "As published, with 100 iterations at 1e-4, no network has learned its task here: on test all are worse "
            f"than the shape-blind hand's {blind['test']:.2f}, and their order means nothing."
        )
    if blind and nn:
        further = ""
        if more and more["family"] < nn["family"]:
            further = f"; with more tasks it is at {more['family']:.2f} there"
            if huge and huge["family"] >= more["family"]:
                further += (
                    f", with 2,000 and as many iterations at {huge['family']:.2f}: tasks alone are not what it lacks"
                )
            else:
                further += ": tasks were what it lacked"
        said.append(
            f"NN is at {nn['test']:.2f} where the shape-blind hand is at {blind['test']:.2f} on test, but at "
            f"{nn['family']:.2f} and {blind['family']:.2f} on family{further}."
        )
    if dlm := medians.get("DLM"):
        paper = PUBLISHED["dlm"][2:4]
        said.append(
            f"DLM's {dlm['test']:.2f} on test and {dlm['family']:.2f} on family stand beside the paper's {paper[0]} "
            f"and {paper[1]}, which are of other tasks in another simulator."
        )
    return said


def _columns(*further: str) -> list[str]:
    return ["agent", "iterations", "seeds", *SETS, *further]


def _medians(row: Row) -> list:
    values = [float(np.median(row.losses[name], axis=1).mean()) for name in SETS]
    published = PUBLISHED.get(row.key, (None,) * 6)
    return [row.title, row.steps, row.seeds, *values, *published[2:4]]


def _means(row: Row) -> list:
    values = [float(np.minimum(row.losses[name], CLIP).mean()) for name in SETS]
    return [row.title, row.steps, row.seeds, *values]


def _seconds(options: SuiteOptions, root: Path) -> list[list]:
    """Forward and backward seconds of all architectures and the oracle."""
    env = gymnasium.make(ENV_ID, obs_type="image", object_set="train")
    videos = [env.reset(options={"task": index})[0] for index in range(TIMED)]
    told = gymnasium.make(ENV_ID, obs_type="state", object_set="train")
    states = [told.reset(options={"task": index})[0] for index in range(TIMED)]
    lessons = Lessons.of(dataset.read(options.out / "data" / "planar.hdf5", "train")[:TIMED])
    lines = []
    for name in ("miqp", "expert", *AGENTS):
        trained = name in AGENTS
        member, weights = (f"seed{PAPER_SEED}", root) if trained else ("only", None)
        agent = make_agent(name, ENV_ID, member, weights=weights)
        seen = videos if trained else states
        agent.reset([0])
        agent.act(seen[0][None])
        began = time.process_time()
        for observation in seen:
            agent.reset([0])
            agent.act(observation[None])
        forward = (time.process_time() - began) / TIMED
        backward = _backward_seconds(name, root, lessons) if trained else None
        published = PUBLISHED.get(name, (None,) * 6)
        title = name.upper() if name in PUBLISHED else "enumeration"
        lines.append([title, forward, backward, published[5], published[4]])
    return lines


def _backward_seconds(agent: str, root: Path, lessons: Lessons) -> float:
    network = load_network(agent, zoo.member_path(agent, ENV_ID, PAPER_SEED, root)).train()
    seconds = []
    for _ in range(4):
        loss = LOSSES[agent](network, lessons)
        began = time.process_time()
        loss.backward()
        seconds.append(time.process_time() - began)
    return min(seconds) / len(lessons)


def _curves(options: SuiteOptions) -> Any:
    """A panel a set, a line an architecture; fine-tuning goes on to the right of what it began with."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.4))
    panels = figure.subplots(1, len(learning.CURVE_SETS), sharey=True, squeeze=False)[0]
    for kind in AGENTS:
        try:
            cards = [zoo.list_members(stage, ENV_ID, options.weights)[0].card for stage in learning.stages(kind)]
        except zoo.MissingWeightsError:
            continue
        begun = sum(card["recipe"]["steps"] for card in cards[:-1])
        points = cards[-1]["curve"]
        for panel, name in zip(panels, learning.CURVE_SETS, strict=True):
            panel.semilogy([begun + point["step"] for point in points], [point[name] for point in points], label=kind)
    for panel, name in zip(panels, learning.CURVE_SETS, strict=True):
        panel.set(title=name, xlabel="iterations")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("median loss [cm^2]")
    panels[-1].legend()
    return figure
