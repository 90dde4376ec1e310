"""Filters that a suite trains for itself: kept in its folder, beside a copy of the policy that they go behind."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dto_eval.suites import SuiteOptions

WEIGHTS = "weights"
SEED = 42


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


def data_of(options: SuiteOptions, env_id: str) -> Path | None:
    """Which of the suite's ``--data`` files holds the demonstrations of a task; None without one."""
    from dto_agents.demos.dataset import environment_of

    return next((path for path in options.data if environment_of(path) == env_id), None)
