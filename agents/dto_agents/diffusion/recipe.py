"""How a diffusion policy is built and trained: one frozen recipe per environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from dto_agents.diffusion import fits
from dto_agents.diffusion.features import Fit
from dto_agents.recipes import check_counts


@dataclass(frozen=True)
class DiffusionRecipe:
    """Everything but data and seed that a trained diffusion policy depends on.

    Attributes:
        denoiser: ``mlp``, or ``unet`` for Diffusion Policy's conditional 1-D U-Net, ten times slower on a CPU.
        width: width of the MLP, or channels of the U-Net's first level (doubled at each of its three levels).
        blocks: residual blocks of the MLP.
        horizon: length of the denoised action sequence; its first action belongs to the oldest observation.
        n_obs_steps: observations that condition a sequence.
        n_action_steps: actions executed before the next inference.
        train_timesteps: noise levels of DDPM training.
        predicts: what the network predicts, the noise (``epsilon``) or the clean sequence (``sample``). The noise of
            two arms' chunks has more dimensions than a narrow MLP can pass on; their motions have few.
        inference_steps: DDIM steps of an inference.
        steps: optimiser steps.
        batch_size: windows per step.
        learning_rate: peak learning rate; warmed up linearly, then a cosine down to zero.
        warmup_steps: steps of the linear warm-up.
        weight_decay: AdamW's weight decay.
        rotations: where quaternions (x, y, z, w) begin in the state, which networks are shown as rotation matrices.
        axes: the same of things that are round about their z axis, of which networks are shown where that axis points.
        fits: which points of things the task brings together, see :class:`dto_agents.diffusion.features.Fit`; their
            offsets are shown too.
        to_the_end: whether windows go on until an episode's last observation is their newest. Otherwise, as in
            Diffusion Policy, none begins in the last ``n_action_steps`` - 1 steps: a policy that looks again there,
            since it is slower or out of step, has not learned what to do. At 4 Hz a cup is let go in that time.
        fine_share: share of every batch that is drawn from the windows in which the point of some fit is near its
            place; the moments in which millimetres count are few.
        mirror: whether to train on the mirror images of the demonstrations too, see :mod:`.symmetry`.
        mix_arms: whether to show each of two arms beside the other as it was in another demonstration, and what is put
            away as it lay in another, see :mod:`.two_arms`.
        move: whether to train on demonstrations moved through the room that the task has, see :mod:`.moves`.
        observation_noise: standard deviation of the Gaussian noise on normalised observations while training; the
            observations of one history get the same noise, so that their differences are not blurred.
        least_range: dimensions of the state that the demonstrations move by less than this are scaled as if it were
            this much. Otherwise a millimetre by which something is pushed that never moved is an observation far
            outside all that were learned from.
        scale_actions: whether sequences are noised and denoised on the scale of the demonstrated actions' own range. On
            that of the joints' limits, of which a task may use a tenth, motions drown in the noise that is left.
        exact_inputs: whether the layers that read observations train in float32 all the same. The steps of bfloat16
            near 1 are 0.4 %: of 25 cm a millimetre, which is all the play that ToolHang's rod has.
        ema_power: the average's decay at step n is 1 - (1 + n) ** -ema_power, up to ``ema_max``.
        ema_max: largest decay of the average.
        bfloat16: whether matrix products of training run in bfloat16.
        int8: whether the trained matrices are kept as 8-bit integers, see :func:`dto_agents.zoo.write`.
    """

    denoiser: Literal["mlp", "unet"] = "mlp"
    width: int = 416
    blocks: int = 4
    horizon: int = 16
    n_obs_steps: int = 2
    n_action_steps: int = 8
    train_timesteps: int = 100
    predicts: Literal["epsilon", "sample"] = "epsilon"
    inference_steps: int = 10
    steps: int = 24_000
    batch_size: int = 256
    learning_rate: float = 1e-3
    warmup_steps: int = 200
    weight_decay: float = 1e-4
    rotations: tuple[int, ...] = ()
    axes: tuple[int, ...] = ()
    fits: tuple[Fit, ...] = ()
    to_the_end: bool = False
    fine_share: float = 0.0
    mirror: bool = False
    mix_arms: bool = False
    move: bool = False
    observation_noise: float = 0.0
    least_range: float = 0.0
    scale_actions: bool = False
    exact_inputs: bool = False
    ema_power: float = 0.75
    ema_max: float = 0.9999
    bfloat16: bool = True
    int8: bool = False

    def __post_init__(self) -> None:
        """Refuse recipes that cannot be trained."""
        object.__setattr__(self, "rotations", tuple(self.rotations))
        object.__setattr__(self, "axes", tuple(self.axes))
        object.__setattr__(self, "fits", tuple(Fit(a, tuple(p), b, tuple(q), near) for a, p, b, q, near in self.fits))
        check_counts(self, "width", "blocks", "n_obs_steps", "n_action_steps", "inference_steps", "steps", "batch_size")
        if self.horizon < self.n_obs_steps - 1 + self.n_action_steps:
            raise ValueError(
                f"a horizon of {self.horizon} is too short for {self.n_obs_steps} observations and "
                f"{self.n_action_steps} executed actions"
            )
        if self.mix_arms and self.move:
            raise ValueError("mix_arms and move are for different tasks; choose one of them")
        if self.inference_steps > self.train_timesteps:
            raise ValueError(f"at most {self.train_timesteps} inference steps, not {self.inference_steps}")


# The object's orientation, relative to the gripper and to the world, then the gripper's.
_ONE_OBJECT = (3, 10, 17)
# The stand's, the frame's and the tool's, each relative to the gripper and to the world, then the gripper's.
_THREE_OBJECTS = (3, 10, 17, 24, 31, 38, 47)
# Those of LeTO's tasks in the world: two cups and a board, or two chopsticks and a bowl; then the gripper's.
_THREE_THINGS = (3, 10, 17, 24)
# The hammer's, the trash's and the lid's in the world, then those of both grippers.
_TWO_ARMS = (3, 10, 17, 44, 53)
# With rotations the object's, and that of the step before.
_METAWORLD = DiffusionRecipe(width=160, rotations=(7, 25), observation_noise=0.01, int8=True)

_ALOHA = DiffusionRecipe(
    predicts="sample", to_the_end=True, observation_noise=0.01, least_range=0.05, scale_actions=True, int8=True
)

RECIPES: Mapping[str, DiffusionRecipe] = MappingProxyType(
    {
        "dto/PushT-v0": DiffusionRecipe(steps=30_000, mirror=True, observation_noise=0.01),
        "dto/Lift-v0": DiffusionRecipe(width=256, steps=8_000, rotations=(3, 13)),
        "dto/Can-v0": DiffusionRecipe(width=400, steps=20_000, rotations=_ONE_OBJECT),
        "dto/Square-v0": DiffusionRecipe(width=400, steps=24_000, rotations=_ONE_OBJECT),
        "dto/ToolHang-v0": DiffusionRecipe(
            width=400,
            steps=30_000,
            rotations=_THREE_OBJECTS,
            fits=fits.TOOLHANG,
            fine_share=0.3,
            least_range=0.05,
            exact_inputs=True,
            int8=True,
        ),
        "dto/Transport-v0": DiffusionRecipe(
            width=400,
            n_action_steps=4,
            steps=24_000,
            rotations=_TWO_ARMS,
            fits=fits.TRANSPORT,
            to_the_end=True,
            fine_share=0.3,
            mix_arms=True,
            predicts="sample",
            observation_noise=0.01,
            least_range=0.05,
            exact_inputs=True,
            int8=True,
        ),
        "dto/PickPlaceWall-v0": replace(_METAWORLD, steps=12_000, move=True),
        **{
            f"dto/{task}-v0": replace(_METAWORLD, steps=steps)
            for task, steps in (
                ("ShelfPlace", 8_000),
                ("Disassemble", 6_000),
                ("StickPush", 12_000),
                ("StickPull", 6_000),
            )
        },
        **{
            f"dto/{task}-v0": DiffusionRecipe(
                width=width, steps=steps, rotations=rotations, least_range=0.05, int8=True
            )
            for task, width, steps, rotations in (
                ("MoveStack", 160, 12_000, _THREE_THINGS),
                ("ArrangeChopsticks", 160, 20_000, _THREE_THINGS),
            )
        },
        # The things' orientations in the world, after the joints of both arms, or of one.
        # The cube's policies were trained first, on windows that end early and without noise.
        "dto/AlohaTransferCube-v0": replace(
            _ALOHA, width=144, steps=20_000, rotations=(31,), to_the_end=False, observation_noise=0.0
        ),
        "dto/AlohaInsertion-v0": replace(_ALOHA, width=144, steps=12_000, rotations=(31, 38)),
        "dto/AlohaArrangeDesk-v0": replace(_ALOHA, width=256, steps=8_000, axes=(31, 38, 45), observation_noise=0.02),
        "dto/AlohaMoveStack-v0": replace(_ALOHA, width=160, steps=8_000, rotations=(24,), axes=(17,)),
        # For the chunks that filters learn from: an episode is one.
        "dto/PlanarPush-v0": DiffusionRecipe(horizon=5, n_obs_steps=1, n_action_steps=5),
    }
)


def recipe_for(env_id: str) -> DiffusionRecipe:
    """The recipe of ``env_id``; environments without one of their own get the default."""
    return RECIPES.get(env_id, DiffusionRecipe())
