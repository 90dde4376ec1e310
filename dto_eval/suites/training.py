"""What a suite trains for itself, in its folder: policies, and filters beside a copy of the policy they go behind."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dto_eval.suites import SuiteOptions

WEIGHTS = "weights"
SEED = 42
SEEDS = (42, 142, 242)
FEW = 300  # episodes below which one training seed does


def trained_filter(
    options: SuiteOptions, env_id: str, agent: str, data: Path, changes: Mapping[str, Any], *, seed: int = SEED
) -> Path:
    """Train a filter, unless it has been, by the shipped recipe but for ``changes``.

    Args:
        options: of the suite.
        env_id: environment id.
        agent: name of the filter.
        data: the task's demonstrations.
        changes: fields of :class:`dto_agents.diffog.recipe.FilterRecipe`.
        seed: training seed, of the filter and of the policy.

    Returns:
        Root of a zoo with this filter and the diffusion policy of that seed.

    Raises:
        ValueError: the data does not fit.
        dto_agents.zoo.MissingWeightsError: no policy of this seed.
    """
    from dto_agents import zoo
    from dto_agents.demos.dataset import load_demonstrations
    from dto_agents.diffog.recipe import recipe_for
    from dto_agents.diffog.train import train_filter
    from dto_eval.commands.training_progress import reporting

    name = "-".join([agent, *(f"{key}{value:g}" for key, value in sorted(changes.items()))])
    root = options.out / WEIGHTS / name
    base = zoo.find_member("diffusion", env_id, f"seed{seed}", options.weights)
    copied = zoo.member_path("diffusion", env_id, seed, root)
    if not copied.exists():
        copied.parent.mkdir(parents=True, exist_ok=True)
        for path in (base.path.with_suffix(".json"), base.path):
            shutil.copyfile(path, copied.with_suffix(path.suffix))
    if not zoo.member_path(agent, env_id, seed, root).exists():
        recipe = replace(recipe_for(agent, env_id), **changes)
        demonstrations = load_demonstrations(data, env_id)
        with reporting(f"{name} {env_id}", recipe.steps, options.console) as report:
            train_filter(agent, demonstrations, recipe, seed=seed, root=root, base_root=options.weights, report=report)
    return root


def trained_policies(
    options: SuiteOptions,
    env_id: str,
    agent: str,
    data: Path | None,
    name: str,
    seeds: Sequence[int],
    changes: Mapping[str, Any] | None = None,
) -> Path:
    """Train a policy once for every seed, those apart that have been, by the shipped recipe but for ``changes``.

    Args:
        options: of the suite.
        env_id: environment id.
        agent: name of a policy that ``dto-train`` knows.
        data: the task's demonstrations; None where there are none, so that only what is there can be used.
        name: folder below the suite's weights.
        seeds: training seeds.
        changes: options of ``dto-train``, such as ``bound``.

    Returns:
        Root of a zoo, with this policy where there is anything to be had.

    Raises:
        ValueError: the data or a change does not fit.
    """
    from dto_agents import zoo
    from dto_eval.commands.train import Train, run

    root = options.out / WEIGHTS / name
    for seed in seeds:
        if data is None or zoo.member_path(agent, env_id, seed, root).exists():
            continue
        wanted = Train(agent=agent, env=env_id, data=data, seed=seed, out=root, **(changes or {}))  # type: ignore[arg-type]
        run(wanted, options.console)
    return root


def weights_of(options: SuiteOptions, env_id: str, policy: str, kind: str, episodes: int) -> Path | None:
    """Where the weights of a policy of one person's (``ph``) or six people's (``mh``) demonstrations are.

    Args:
        options: of the suite.
        env_id: environment id.
        policy: name of a policy that ``dto-train`` knows.
        kind: ``ph`` or ``mh``.
        episodes: of its run; the paper's three seeds are trained, one where there are few.

    Returns:
        None for ``--weights`` and those shipped, which go first where they are ph's; else the suite's own folder, in
        which what is missing has been trained if there are demonstrations.
    """
    from dto_agents import zoo

    if kind == "ph":
        try:
            zoo.list_members(policy, env_id, options.weights)
        except zoo.MissingWeightsError:
            pass
        else:
            return None
    seeds = SEEDS if episodes >= FEW else SEEDS[:1]
    return trained_policies(options, env_id, policy, data_of(options, env_id, mixed=kind == "mh"), kind, seeds)


def data_of(options: SuiteOptions, env_id: str, *, mixed: bool | None = None) -> Path | None:
    """Which of the suite's ``--data`` files holds the demonstrations of a task; None without one.

    Args:
        options: of the suite.
        env_id: the task.
        mixed: whether they must be several people's, or must not; None where that does not matter.
    """
    from dto_agents.demos.dataset import environment_of
    from dto_agents.demos.robomimic import operators_of

    def fits(path: Path) -> bool:
        return environment_of(path) == env_id and (mixed is None or mixed == (len(operators_of(path)) > 1))

    return next((path for path in options.data if fits(path)), None)
