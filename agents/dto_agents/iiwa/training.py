"""Supervised training of the control and time networks on optimal trajectories (the paper's equations 9 and 15)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from dto_agents.iiwa.qrnet import WIDTHS, Blend, ControlNetwork, Kind, Policy, TimeNetwork, regulator_torque
from dto_agents.iiwa.trajectory import OptimalTrajectory
from dto_agents.training import TrainingError
from dto_envs.iiwa import constants
from dto_envs.iiwa.constants import JOINTS
from dto_envs.iiwa.model import mujoco_model

_ROWS = 8192  # points whose gains are looked up at a time, to bound the memory


@dataclass(frozen=True)
class TrainingOptions:
    """How networks are trained. Epochs, batch, rate and the interval of validation are the paper's.

    Attributes:
        kind: ``qrnet``, ``faded`` or ``mlp``.
        widths: neurons of the layers of both networks.
        metric: in which a torque error e is measured: ``joint``, each joint's in units of what the network has to add
            there; or ``cost``, r2 |e|^2 + r3 |M(q)^-1 e|^2, what it costs at once.
        blend: how the LQR fades with the remaining time.
        epochs: passes over the data.
        batch: samples in a step.
        learning_rate: of Adam.
        final_rate: learning rate at the end as a fraction of that at the beginning, falling along a cosine; 1 keeps it.
        validate_every: epochs between two validations; the best on the validation set is kept.
        feedback_share: share of the samples of a batch that are moved off their trajectory and labelled to first
            order, with DDP's feedback gains and the slope of the optimal time. 0 is the paper's recipe.
        feedback_spread: largest standard deviation of such a move: this many rad, and five times as many rad/s; drawn
            anew for each point, and less where the remaining time is short, in proportion below 0.5 s.
    """

    kind: Kind = "qrnet"
    widths: tuple[int, int, int, int] = WIDTHS
    metric: Literal["joint", "cost"] = "cost"
    blend: Blend = field(default_factory=Blend)
    epochs: int = 200
    batch: int = 1024
    learning_rate: float = 1e-3
    final_rate: float = 1.0
    validate_every: int = 10
    feedback_share: float = 0.0
    feedback_spread: float = 0.02

    def __post_init__(self) -> None:
        """Check what types cannot."""
        if min(self.epochs, self.batch, self.validate_every) < 1 or not 0 < self.final_rate <= 1:
            raise ValueError(f"epochs, batch and validate_every are 1 or more, final_rate in (0, 1], got {self}")
        if not 0 <= self.feedback_share <= 1:
            raise ValueError(f"feedback_share lies between 0 and 1, got {self.feedback_share}")


@dataclass(frozen=True, eq=False)
class Samples:
    """Points on optimal trajectories, float32.

    Attributes:
        states: (N, 14).
        torques: (N, 7) [Nm].
        remaining: (N,) optimal times to the goal [s].
        gains: (N, 7, 14) feedback around the trajectory, u = torques - gains dx.
        time_slopes: (N, 14) how the remaining time changes with the state.
        inverse_masses: (N, 7, 7) inverse of the mass matrix.
    """

    states: Tensor
    torques: Tensor
    remaining: Tensor
    gains: Tensor
    time_slopes: Tensor
    inverse_masses: Tensor

    def __len__(self) -> int:
        """Number of points."""
        return len(self.states)


def samples_of(trajectories: Sequence[OptimalTrajectory]) -> Samples:
    """Every step of every solved trajectory.

    Raises:
        TrainingError: none is solved.
    """
    solved = [each for each in trajectories if each.solved]
    if not solved:
        raise TrainingError("there is no solved trajectory to train on; collect some with dto-demos optimal")

    def joined(parts: list[np.ndarray]) -> Tensor:
        return torch.tensor(np.concatenate(parts), dtype=torch.float32)

    return Samples(
        states=joined([each.states[:-1] for each in solved]),
        torques=joined([each.torques for each in solved]),
        remaining=joined([each.duration - each.times[:-1] for each in solved]),
        gains=joined([each.free_gains for each in solved]),
        time_slopes=joined([each.time_slopes for each in solved]),
        inverse_masses=joined([_inverse_masses(each.states[:-1, :JOINTS]) for each in solved]),
    )


def _inverse_masses(angles: np.ndarray) -> np.ndarray:
    import mujoco

    model = mujoco_model()
    data = mujoco.MjData(model)
    matrices = np.empty((len(angles), JOINTS, JOINTS))
    for matrix, data.qpos[:] in zip(matrices, angles, strict=True):
        mujoco.mj_fwdPosition(model, data)
        mujoco.mj_fullM(model, matrix, data.qM)
    return np.linalg.inv(matrices)


def join(parts: Sequence[Samples]) -> Samples:
    """All points of several sets."""
    names = [each.name for each in fields(Samples)]
    return Samples(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


@dataclass(frozen=True, eq=False)
class Trained:
    """A policy with how well it fits.

    Attributes:
        policy: the two networks, each as it was when it fitted the validation set best.
        control_error: root mean square torque error on the validation set, in the metric of training.
        time_error: root mean square error of the remaining time on the validation set [s].
    """

    policy: Policy
    control_error: float
    time_error: float


def train_policy(
    train: Samples,
    validation: Samples,
    options: TrainingOptions,
    seed: int,
    report: Callable[[str, int, float], None] = lambda network, epoch, error: None,
) -> Trained:
    """Train a control network and a time network from random weights.

    Args:
        train: points to fit.
        validation: points that choose among epochs.
        options: how.
        seed: of weights, batches and feedback; torch's own generator is left as it was.
        report: called with the network's name, the epoch and the validation error.

    Raises:
        TrainingError: the loss is no longer finite.
    """
    with torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(seed)
        control, control_error = _train_control(train, validation, options, report)
        time, time_error = _train_time(train, validation, options, report)
    return Trained(Policy(control, time), control_error, time_error)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch work on one thread: networks this small only wait for each other on more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _train_control(
    train: Samples, validation: Samples, options: TrainingOptions, report: Callable[[str, int, float], None]
) -> tuple[ControlNetwork, float]:
    network = ControlNetwork(options.kind, options.blend, options.widths)
    (regulator, share), goal_regulator = (_regulator(samples, options) for samples in (train, validation))
    missing = train.torques - (network.rest if options.kind == "mlp" else regulator)
    # The wrist's torques are a thousand times smaller than the shoulder's.
    scale = missing.std(dim=0)
    outputs = scale.diag() if options.metric == "joint" else _whitening(missing, train.inverse_masses)
    network.set_scales(train.states.mean(dim=0), train.states.std(dim=0), outputs)

    def shown() -> tuple[Tensor, ...]:
        order, moved = _order(len(train), options)
        given = (train.states, regulator, share, train.torques, train.inverse_masses)
        states, lqr, left, torques, inverse_masses = (each[order] for each in given)
        for rows in moved.split(_ROWS):
            near = _off_trajectory(train, order[rows], options)
            states[rows], torques[rows] = near.states, near.torques
            if options.kind != "mlp":
                lqr[rows], left[rows] = regulator_torque(near.states, near.remaining, options.blend)
        return states, lqr, left, torques, inverse_masses

    def loss(states: Tensor, lqr: Tensor, left: Tensor, torques: Tensor, inverse_masses: Tensor) -> Tensor:
        return _size(network(states, lqr, left) - torques, inverse_masses, scale, options)

    def error() -> float:
        known = validation.states, *goal_regulator, validation.torques, validation.inverse_masses
        return loss(*known).sqrt().item()

    best = _descend(network, shown, loss, error, options, lambda epoch, value: report("control", epoch, value))
    return network, best


def _size(errors: Tensor, inverse_masses: Tensor, scale: Tensor, options: TrainingOptions) -> Tensor:
    """Mean square of torque errors (B, 7) in the chosen metric."""
    if options.metric == "joint":
        return ((errors / scale) ** 2).mean()
    motion = inverse_masses @ errors[:, :, None]
    effort = constants.TORQUE_WEIGHT * errors.square().sum()
    return (effort + constants.ACCELERATION_WEIGHT * motion.square().sum()) / len(errors)


def _whitening(missing: Tensor, inverse_masses: Tensor) -> Tensor:
    """(7, 7): turns numbers of order 1, which cost alike on average, into torques like ``missing`` (N, 7)."""
    motion = torch.einsum("bki,bkj->ij", inverse_masses, inverse_masses) / len(inverse_masses)
    metric = constants.TORQUE_WEIGHT * torch.eye(JOINTS) + constants.ACCELERATION_WEIGHT * motion
    values, directions = torch.linalg.eigh(metric)
    root = directions @ values.sqrt().diag() @ directions.T
    return torch.linalg.inv(root) @ (missing @ root).std(dim=0).diag()


def _train_time(
    train: Samples, validation: Samples, options: TrainingOptions, report: Callable[[str, int, float], None]
) -> tuple[TimeNetwork, float]:
    network = TimeNetwork(options.widths)
    network.set_scales(train.states.mean(dim=0), train.states.std(dim=0))

    def shown() -> tuple[Tensor, ...]:
        order, moved = _order(len(train), options)
        states, remaining = train.states[order], train.remaining[order]
        for rows in moved.split(_ROWS):
            near = _off_trajectory(train, order[rows], options)
            states[rows], remaining[rows] = near.states, near.remaining
        return states, remaining

    def loss(states: Tensor, remaining: Tensor) -> Tensor:
        return (network(states) - remaining).square().mean()

    def error() -> float:
        return loss(validation.states, validation.remaining).sqrt().item()

    best = _descend(network, shown, loss, error, options, lambda epoch, value: report("time", epoch, value))
    return network, best


def _order(count: int, options: TrainingOptions) -> tuple[Tensor, Tensor]:
    """How an epoch shows ``count`` points: their order (count,), and which places of it hold points that are moved."""
    places = torch.arange(count)
    return torch.randperm(count), places[places % options.batch < options.feedback_share * options.batch]


@dataclass(frozen=True, eq=False)
class _Moved:
    states: Tensor
    torques: Tensor
    remaining: Tensor


def _off_trajectory(train: Samples, index: Tensor, options: TrainingOptions) -> _Moved:
    """Points beside the trajectories, with torques and remaining times to first order."""
    remaining = train.remaining[index]
    size = options.feedback_spread * torch.rand(len(index), 1) * (remaining / 0.5).clamp(max=1.0)[:, None]
    move = torch.randn(len(index), train.states.shape[1]) * size * torch.tensor([1.0] * 7 + [5.0] * 7)
    return _Moved(
        states=train.states[index] + move,
        torques=train.torques[index] - torch.einsum("bij,bj->bi", train.gains[index], move),
        remaining=(remaining + (train.time_slopes[index] * move).sum(dim=1)).clamp(min=1e-3),
    )


def _regulator(samples: Samples, options: TrainingOptions) -> tuple[Tensor, Tensor]:
    """The blended LQR's torque (N, 7), and what it leaves to the network (N,)."""
    if options.kind == "mlp":
        return torch.zeros_like(samples.torques), torch.ones_like(samples.remaining)
    parts = zip(samples.states.split(_ROWS), samples.remaining.split(_ROWS), strict=True)
    torques, shares = zip(*(regulator_torque(*part, options.blend) for part in parts), strict=True)
    return torch.cat(torques), torch.cat(shares)


def _descend(
    network: nn.Module,
    shown: Callable[[], tuple[Tensor, ...]],
    loss: Callable[..., Tensor],
    error: Callable[[], float],
    options: TrainingOptions,
    report: Callable[[int, float], None],
) -> float:
    """Adam over epochs; leaves the network as it was at its best validation, and returns that error.

    Args:
        network: to be trained.
        shown: the points of an epoch, shuffled: tensors with a row per point. Made for an epoch at once, since networks
            this small take less time than the making of a batch.
        loss: of the same tensors, cut to a batch.
        error: on the validation set.
        options: how.
        report: called with the epoch and the validation error.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=options.learning_rate, fused=True)
    best, kept = math.inf, {}
    for epoch in range(1, options.epochs + 1):
        network.train()
        batches = list(zip(*(each.split(options.batch) for each in shown()), strict=True))
        for index, batch in enumerate(batches):
            done = (epoch - 1 + index / len(batches)) / options.epochs
            fall = (1 + math.cos(math.pi * done)) / 2
            optimizer.param_groups[0]["lr"] = options.learning_rate * (
                options.final_rate + (1 - options.final_rate) * fall
            )
            optimizer.zero_grad(set_to_none=True)
            loss(*batch).backward()
            optimizer.step()
        if epoch % options.validate_every and epoch != options.epochs:
            continue
        network.eval()
        with torch.no_grad():
            value = error()
        if not math.isfinite(value):
            raise TrainingError(f"the validation error is {value} after epoch {epoch}; lower the learning rate")
        report(epoch, value)
        if value < best:
            best, kept = value, {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.load_state_dict(kept)
    return best
