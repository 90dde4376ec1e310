"""What ``dto-train`` can train: one function per kind of agent, and one table of who takes which options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from rich.console import Console

from dto_eval.commands.training_progress import reporting

if TYPE_CHECKING:
    from dto_agents.demos.dataset import Demonstrations
    from dto_eval.commands.train import Train

# Every agent takes --env, --seed and --out; these are the options that only some take.
OPTIONS = ("data", "steps", "episodes", "alpha", "bound", "velocity", "base", "car", "epochs")
DEFAULT_EPISODES: Mapping[str, int] = MappingProxyType({"dto/PushT-v0": 90})


@dataclass(frozen=True)
class Trainer:
    """How one agent is trained.

    Attributes:
        train: does it, and returns the weights file.
        takes: those of :data:`OPTIONS` that mean something to it.
        evaluated: the environment and agent to evaluate what was trained; None for those it was trained as.
    """

    train: Callable[[Train, Console], Path]
    takes: tuple[str, ...]
    evaluated: tuple[str, str] | None = None

    def check(self, options: Train) -> None:
        """Raise ValueError for an option that is missing, out of range, or means nothing to the agent."""
        for name in OPTIONS:
            if getattr(options, name) is not None and name not in self.takes:
                mine = ", ".join(f"--{taken}" for taken in self.takes)
                raise ValueError(f"--{name} does not apply to {options.agent}, which takes {mine}; leave --{name} out")
        if "data" in self.takes and options.data is None:
            raise ValueError("--data PATH is needed: the demonstrations to train on; dto-demos makes some")
        for name, least in (("seed", 0), ("steps", 1), ("epochs", 1), ("episodes", 0)):
            value = getattr(options, name)
            if value is not None and value < least:
                low = "not be negative" if least == 0 else f"be at least {least}"
                raise ValueError(f"--{name} must {low}, but is {value}")
        if options.alpha is not None and not options.alpha >= 0:
            raise ValueError(f"--alpha must not be negative, but is {options.alpha}")
        if options.bound is not None and not options.bound > 0:
            raise ValueError(f"--bound must be positive, but is {options.bound}")


def train_diffusion_policy(options: Train, console: Console) -> Path:
    """A diffusion policy from demonstrations."""
    from dto_agents.diffusion.recipe import recipe_for
    from dto_agents.diffusion.train import train_diffusion

    return _train(train_diffusion, recipe_for(options.env), options, console, **_demonstrations(options))


def train_image_policy(options: Train, console: Console) -> Path:
    """A diffusion policy on pictures from demonstrations."""
    from dto_agents.demos.pictures import load_pictures
    from dto_agents.diffusion_image.recipe import recipe_for
    from dto_agents.diffusion_image.train import train_image_policy

    recipe, demonstrations = recipe_for(options.env), _demonstrations(options)
    pictures = load_pictures(_data(options), options.env, recipe.cameras)
    return _train(train_image_policy, recipe, options, console, **demonstrations, pictures=pictures)


def train_cloud_policy(options: Train, console: Console) -> Path:
    """A diffusion policy on point clouds from demonstrations."""
    from dto_agents.dp3.recipe import recipe_for
    from dto_agents.dp3.train import train_cloud_policy

    recipe, demonstrations = recipe_for(options.env), _demonstrations(options)
    return _train(train_cloud_policy, recipe, options, console, **demonstrations, path=_data(options))


def train_recurrent_policy(options: Train, console: Console) -> Path:
    """LeTO or LSTM-GMM from demonstrations."""
    from dto_agents.demos.pictures import load_pictures
    from dto_agents.recurrent.recipe import recipe_for
    from dto_agents.recurrent.train import train_recurrent

    recipe, demonstrations = recipe_for(options.agent, options.env), _demonstrations(options)
    pictures = load_pictures(_data(options), options.env, recipe.cameras) if recipe.cameras else None
    return _train(train_recurrent, recipe, options, console, agent=options.agent, **demonstrations, pictures=pictures)


def train_implicit_policy(options: Train, console: Console) -> Path:
    """IBC from demonstrations."""
    from dto_agents.ibc.recipe import recipe_for
    from dto_agents.ibc.train import train_ibc

    return _train(train_ibc, recipe_for(options.env), options, console, **_demonstrations(options))


def train_action_filter(options: Train, console: Console) -> Path:
    """A learned filter from demonstrations, or from a policy's samples beside them."""
    from dto_agents.diffog.recipe import recipe_for
    from dto_agents.diffog.train import train_filter

    recipe, demonstrations = recipe_for(options.agent, options.env), _demonstrations(options)
    return _train(train_filter, recipe, options, console, agent=options.agent, **demonstrations, base_root=options.base)


def train_car_dynamics(options: Train, console: Console) -> Path:
    """A network of the RC car's dynamics from a recording."""
    from dto_agents.rc_car.networks import RECIPES, train_on_recording

    car = options.car or "simulated"
    return train_on_recording(
        _data(options),
        car,
        seed=options.seed,
        root=options.out,
        reporting=lambda title, steps: reporting(title, steps, console),
        recipe=_adapted(RECIPES[car], options),
    )


def train_car_driver(options: Train, console: Console) -> Path:
    """A soft actor-critic driver of the RC car, by trial and error."""
    from dto_agents.rc_car.sac_training import recipe_for, train_sac

    return _train(train_sac, recipe_for(options.env), options, console, env_id=options.env)


def train_arm_controller(options: Train, console: Console) -> Path:
    """A controller of the iiwa from optimal trajectories."""
    from dto_agents.iiwa.agents import ENV_ID
    from dto_agents.iiwa.members import recipe_for, train_member

    _require_env(options, ENV_ID)
    recipe = recipe_for(options.agent)
    training = _adapted(recipe.sampling.training, options)
    recipe = replace(recipe, sampling=replace(recipe.sampling, training=training))
    return train_member(
        options.agent, _data(options), seed=options.seed, root=options.out, recipe=recipe, report=console.print
    )


def train_model_free_arm(options: Train, console: Console) -> Path:
    """A controller of the iiwa by trial and error."""
    from dto_agents.iiwa.agents import ENV_ID
    from dto_agents.iiwa.sac_training import RECIPE, train_sac

    _require_env(options, ENV_ID)
    return _train(train_sac, RECIPE, options, console)


def train_planar_network(options: Train, console: Console) -> Path:
    """A network that pushes objects as a video shows, from the expert's plans."""
    from dto_agents.planar.learning import ENV_ID, stages, train_network
    from dto_agents.planar.recipe import Recipe

    _require_env(options, ENV_ID)
    recipe = Recipe(steps=options.steps or Recipe.steps, extra=options.episodes or 0)
    with reporting(_title(options), recipe.steps * len(stages(options.agent)), console) as report:
        return train_network(options.agent, _data(options), recipe, seed=options.seed, root=options.out, report=report)


_POLICY = ("data", "steps", "episodes")
_FILTER = (*_POLICY, "alpha", "bound", "velocity")
_PLANAR_ENV = "dto/PlanarPush-v0"
_PLANAR = ("nn", "nnm", "mdr", "cvx", "dlm")

TRAINERS: Mapping[str, Trainer] = MappingProxyType(
    {
        "diffusion": Trainer(train_diffusion_policy, _POLICY),
        "diffusion-image": Trainer(train_image_policy, _POLICY),
        "dp3": Trainer(train_cloud_policy, _POLICY),
        "leto": Trainer(train_recurrent_policy, _FILTER),
        "lstm-gmm": Trainer(train_recurrent_policy, _POLICY),
        "leto-image": Trainer(train_recurrent_policy, _FILTER),
        "lstm-gmm-image": Trainer(train_recurrent_policy, _POLICY),
        "ibc": Trainer(train_implicit_policy, _POLICY),
        "matrix": Trainer(train_action_filter, _FILTER),
        "matrix-refine": Trainer(train_action_filter, (*_FILTER, "base")),
        "diffog": Trainer(train_action_filter, _FILTER),
        "diffog-refine": Trainer(train_action_filter, (*_FILTER, "base")),
        "residual": Trainer(train_action_filter, (*_POLICY, "alpha")),
        "rc-car-dynamics": Trainer(
            train_car_dynamics, ("data", "car", "epochs"), evaluated=("dto/RCCarParking-v0", "rc-car-plan")
        ),
        "rc-car-sac": Trainer(train_car_driver, ("steps",)),
        "iiwa-qrnet": Trainer(train_arm_controller, ("data", "epochs")),
        "iiwa-qrnet-wide": Trainer(train_arm_controller, ("data", "epochs")),
        "iiwa-mlp": Trainer(train_arm_controller, ("data", "epochs")),
        "iiwa-sac": Trainer(train_model_free_arm, ("steps",)),
        **{name: Trainer(train_planar_network, _POLICY) for name in _PLANAR},
    }
)


def evaluated_as(options: Train) -> tuple[str, str]:
    """The environment and the agent's name, with what else they need, to evaluate what was trained."""
    if options.agent in _PLANAR:
        from dto_agents.planar.learning import size_of

        return options.env, options.agent + size_of(options.episodes or 0)
    if options.env == _PLANAR_ENV:
        return options.env, f"dlm-{options.agent} --base dlm --filter {options.agent}"
    trained_as = options.env, "base" if options.agent == "diffusion" else options.agent
    return TRAINERS[options.agent].evaluated or trained_as


def _train(train: Callable[..., Path], recipe: Any, options: Train, console: Console, **arguments: Any) -> Path:
    """Call a training function, with a recipe that the options change and with its progress on the console."""
    recipe = _adapted(recipe, options)
    with reporting(_title(options), getattr(recipe, "all_steps", recipe.steps), console) as report:
        return train(recipe=recipe, seed=options.seed, root=options.out, report=report, **arguments)


def _title(options: Train) -> str:
    return f"{options.agent} {options.env} seed {options.seed}"


def _require_env(options: Train, env_id: str) -> None:
    if options.env != env_id:
        raise ValueError(f"{options.agent} is for {env_id}; pass --env {env_id}")


def _adapted(recipe: Any, options: Train) -> Any:
    """The recipe with what the options set apart from it."""
    given = {name: getattr(options, name) for name in ("steps", "alpha", "bound", "velocity", "epochs")}
    return replace(recipe, **{name: value for name, value in given.items() if value is not None})


def _planar_plans(options: Train) -> Demonstrations:
    """The expert's plans for the tasks that are there to learn from, for filters."""
    from dto_agents.planar import dataset

    if options.agent not in ("matrix", "diffog"):
        raise ValueError(
            f"{options.agent} learns from states, of which {options.env} has no demonstrations; "
            f"choose from {', '.join(_PLANAR)}, matrix, diffog"
        )
    path = _data(options)
    known = dataset.sets_of(path)
    used = [name for name in ("train", "fine-tune", dataset.EXTRA_SET) if name in known]
    return dataset.demonstrations(example for name in used for example in dataset.read(path, name))


def _demonstrations(options: Train) -> dict[str, Any]:
    """``demonstrations``, and in ``episodes`` how many of them to use; None for all."""
    from dto_agents.demos.dataset import load_demonstrations

    if options.env == _PLANAR_ENV:
        return {"demonstrations": _planar_plans(options), "episodes": options.episodes}
    demonstrations = load_demonstrations(_data(options), options.env)
    default = DEFAULT_EPISODES.get(options.env)
    if options.episodes is None and default is not None:
        return {"demonstrations": demonstrations, "episodes": min(default, len(demonstrations.episodes))}
    return {"demonstrations": demonstrations, "episodes": options.episodes}


def _data(options: Train) -> Path:
    assert options.data is not None  # else Trainer.check would have refused it
    return options.data
