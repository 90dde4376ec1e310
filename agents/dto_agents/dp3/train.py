"""Training a policy on point clouds: what a diffusion policy learns from, with clouds in the place of states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dto_agents import zoo
from dto_agents.demos.dataset import Demonstrations
from dto_agents.demos.robomimic import demo_names, open_file
from dto_agents.diffusion.moves import Room, chances, room
from dto_agents.diffusion.policy import add_noise, in_batches, make_scheduler
from dto_agents.diffusion.seeing import Codes, denoising_loss, look_at_all, train_in_two_phases
from dto_agents.diffusion.windows import DataDescription, Range, all_states, chosen, normalized_actions, windows_of
from dto_agents.dp3.network import HAND_SIZE, CloudDenoiser
from dto_agents.dp3.policy import KIND, describe
from dto_agents.dp3.recipe import CloudRecipe
from dto_agents.training import Report
from dto_envs.registry import row

ASIDE = 0.7  # share of the things that lie alone that codes learn to see elsewhere


@dataclass(frozen=True)
class CloudWindows:
    """Training data: what was seen in every step, and which steps belong to which action sequence.

    Attributes:
        clouds: (N, P, 3) float32, normalised, of every demonstrated step.
        hands: (N, 4) float32, normalised.
        states: (N, 39) float32, normalised, which codes learn to tell.
        episodes: (N,) int64, the episode of each step.
        seen: (W, n_obs_steps) int64, the steps that a window's policy sees, oldest first.
        actions: (W, horizon, D_a) float32 action sequences, normalised.
        places: range of the points, m.
        hand_range: range of the hand states.
        state_range: range of the states.
        data: which demonstrations these are.
        room: in which they are moved, where the recipe asks for it.
    """

    clouds: Tensor
    hands: Tensor
    states: Tensor
    episodes: Tensor
    seen: Tensor
    actions: Tensor
    places: Range
    hand_range: Range
    state_range: Range
    data: DataDescription
    room: Room | None = None

    def moved(self, clouds: Tensor, hands: Tensor, states: Tensor, groups: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is seen, moved at random through the room; the same where the recipe asks for none.

        Args:
            clouds: (..., P, 3) of some steps, normalised.
            hands: (..., 4) and their hands.
            states: (..., 39) and their states.
            groups: (...) int64, from 0 up; steps of one group are moved by the same share of the room's reach.

        Returns:
            As many clouds, hands and states, normalised.
        """
        if self.room is None:
            return clouds, hands, states
        shares = chances(int(groups.max()) + 1)[groups]
        by = self.room.reach(self.hand_range.restore(hands)[..., :3]) * shares
        return (
            clouds + self.places.scale(by)[..., None, :],
            hands + self.hand_range.scale(functional.pad(by, (0, HAND_SIZE - 3))),
            states + self.state_range.scale(self.room.displaced(torch.zeros_like(states), by)),
        )

    def put_aside(self, clouds: Tensor, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Most things that lie alone, moved at random and told to be there; only where the recipe asks for a room.

        Thirty demonstrations show a thing in thirty places before it is grasped, and then wherever the hand is: by the
        hand a network tells where it is, and not where it lies.

        Args:
            clouds: (B, n_obs_steps, P, 3) of some windows, normalised.
            states: (B, n_obs_steps, 39) and their states.

        Returns:
            As many clouds and states, and in which windows something was moved, (B,) bool: what was done there was to
            grasp it where it had been.
        """
        if self.room is None:
            return clouds, states, torch.zeros(len(clouds), dtype=torch.bool)
        told = self.state_range.restore(states)
        aside = self.room.lies_alone(told).all(-1) & (torch.rand(len(clouds)) < ASIDE)
        by = functional.pad((2 * torch.rand(len(clouds), 1, 2) - 1) * told.new_tensor(self.room.aside), (0, 1))
        by = by * aside[:, None, None]
        on = self.room.on_thing(self.places.restore(clouds), told)
        moved_states = self.room.thing_moved(torch.zeros_like(states), by)
        return (
            clouds + self.places.scale(by)[..., None, :] * on[..., None],
            states + self.state_range.scale(moved_states),
            aside,
        )


def make_windows(
    demonstrations: Demonstrations, path: Path, recipe: CloudRecipe, *, episodes: int | None, seed: int
) -> CloudWindows:
    """Look again at what was demonstrated, and cut it into windows.

    Args:
        demonstrations: what to imitate.
        path: the HDF5 file that they come from, which holds the simulator's states.
        recipe: lengths of a window, and points of a cloud.
        episodes: how many episodes to use, drawn by ``seed``; None for all.
        seed: seed of that draw.

    Raises:
        ValueError: the environment shows no clouds, the file holds no states, or more episodes than there are.
    """
    env_id = demonstrations.env_id
    used, data = chosen(demonstrations, episodes, seed)
    clouds, hands = look_again(env_id, read_states(path, data.episodes), recipe.points)
    index = windows_of(used, recipe)
    states = all_states(used)
    places, hand_range = Range.of(clouds.reshape(-1, 3).double()), Range.of(hands, recipe.least_range)
    state_range = Range.of(states, recipe.least_range)
    return CloudWindows(
        clouds=places.normalize(clouds),
        hands=hand_range.normalize(hands),
        states=state_range.normalize(states),
        episodes=torch.arange(len(used)).repeat_interleave(torch.tensor([len(episode) for episode in used])),
        seen=index[:, : recipe.n_obs_steps],
        actions=normalized_actions(used, row(env_id).layout)[index],
        places=places,
        hand_range=hand_range,
        state_range=state_range,
        data=data,
        room=room(env_id) if recipe.move else None,
    )


def read_states(path: Path, chosen: Sequence[int]) -> np.ndarray:
    """The simulator's states before every action of the chosen demonstrations, one after the other, (N, S)."""
    with open_file(path) as file:
        names = demo_names(path, file)
        if not all("states" in file["data"][names[index]] for index in chosen):
            raise ValueError(f"{path} holds no simulator states to cast rays in; collect with dto-demos")
        return np.concatenate([file["data"][names[index]]["states"][()] for index in chosen])


def look_again(env_id: str, states: np.ndarray, points: int) -> tuple[Tensor, Tensor]:
    """Clouds (N, points, 3) float32 and hand states (N, 4) float64 in simulator states (N, S).

    Raises:
        ValueError: the environment shows no clouds, or the states are another's.
    """
    import gymnasium

    if "pointcloud" not in row(env_id).obs_types:
        raise ValueError(f"{env_id} shows no point clouds; choose a task of Meta-World's")
    env = gymnasium.make(env_id, obs_type="pointcloud")
    observations = [env.reset(options={"state": state})[0] for state in states]
    env.close()
    clouds = np.stack([observation["pointcloud"][:points] for observation in observations])
    return torch.from_numpy(clouds), torch.from_numpy(np.stack([observation["hand"] for observation in observations]))


def seeing_loss(windows: CloudWindows, recipe: CloudRecipe) -> Callable[[nn.Module], Tensor]:
    """The first phase's loss of a random batch: the squared error of the noise, and of what is told of the state.

    Every window is denoised at ``recipe.draws`` noise levels; its clouds are looked at once.
    """
    scheduler = make_scheduler(recipe)

    def loss(network: nn.Module) -> Tensor:
        index = torch.randint(len(windows.actions), (recipe.seeing_batch,))
        clean, seen = windows.actions[index].repeat_interleave(recipe.draws, 0), windows.seen[index]
        each = torch.arange(len(seen))[:, None].expand_as(seen)
        clouds = blurred(windows.clouds[seen], recipe)
        clouds, hands, states = windows.moved(clouds, windows.hands[seen], windows.states[seen], each)
        clouds, states, aside = windows.put_aside(clouds, states)
        noisy, timestep, noise = add_noise(clean, scheduler)
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bfloat16):
            predicted, told = network(noisy, timestep, clouds, hands)
        kept = ~aside.repeat_interleave(recipe.draws, 0)
        errors = (predicted.float() - noise).square().flatten(1).mean(1)
        right = (errors * kept).sum() / kept.sum().clamp(min=1)
        return right if told is None else right + recipe.state_weight * functional.mse_loss(told.float(), states)

    return loss


def view(windows: CloudWindows, network: CloudDenoiser, recipe: CloudRecipe) -> Tensor:
    """Codes and hands (N, code + 4) of all steps in one view: points blurred anew, each episode moved by itself."""
    clouds, hands, _ = windows.moved(windows.clouds, windows.hands, windows.states, windows.episodes)
    return torch.cat([in_batches(lambda seen: network.encoder(blurred(seen, recipe)), clouds), hands], dim=-1)


def conditions(windows: CloudWindows, codes: Codes, network: CloudDenoiser) -> Callable[[Tensor], Tensor]:
    """What the second phase's denoiser is told of windows (B,): what :func:`view` made of their steps."""

    @torch.no_grad()
    def of(index: Tensor) -> Tensor:
        seen = codes.draw(windows.seen[index])
        return network.conditions(seen[..., :-HAND_SIZE], seen[..., -HAND_SIZE:])

    return of


def blurred(clouds: Tensor, recipe: CloudRecipe) -> Tensor:
    """Clouds (..., P, 3) with noise on every point."""
    return clouds + recipe.jitter * torch.randn_like(clouds)


def train_cloud_policy(
    demonstrations: Demonstrations,
    path: Path,
    recipe: CloudRecipe,
    *,
    seed: int,
    root: Path,
    report: Report,
    episodes: int | None = None,
) -> Path:
    """Train a policy and write it to a zoo; an interrupted run of the same recipe, seed and data is continued.

    Args:
        demonstrations: what to imitate.
        path: the HDF5 file that they come from.
        recipe: network and optimisation.
        seed: seed of the weights, the batches and the choice of episodes.
        root: the zoo's root; checkpoints go beside the result, into ``seed<k>/``.
        report: called with finished steps and loss.
        episodes: how many demonstrations to use; None for all.

    Returns:
        The weights file; its card lies beside it.

    Raises:
        FileExistsError: the result is already there.
        ValueError: the data does not fit.
        dto_agents.training.TrainingError: the checkpoints are another run's, or the loss diverged.
    """
    env_id = demonstrations.env_id
    target = zoo.claim(KIND, env_id, seed, root)
    windows = make_windows(demonstrations, path, recipe, episodes=episodes, seed=seed)

    def acting(network: CloudDenoiser) -> Callable[[nn.Module], Tensor]:
        codes = look_at_all(lambda: view(windows, network, recipe), recipe, seed)
        return denoising_loss(windows.actions, conditions(windows, codes, network), recipe)

    return train_in_two_phases(
        target,
        describe(recipe, env_id),
        lambda: CloudDenoiser(recipe, row(env_id).layout.size),
        seeing_loss(windows, recipe),
        acting,
        recipe=recipe,
        data=asdict(windows.data),
        seed=seed,
        report=report,
        tensors={**windows.places.tensors("places"), **windows.hand_range.tensors("hands")},
    )
