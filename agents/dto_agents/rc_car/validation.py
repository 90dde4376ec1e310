"""How far a model of the car strays over whole trajectories (Koehler et al., equation 10)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dto_agents.rc_car.logs import Log, body_velocities
from dto_agents.rc_car.prediction import Predictor, Starts
from dto_agents.rc_car.preparing import Windows, decimate, smooth
from dto_envs.rc_car.learned import CarNetwork, rollout


def validation_starts(
    trajectories: Sequence[Log], dt: float, *, lead_s: float = 0.5, smoothing_s: float = 0.0
) -> Starts:
    """One start per recorded trajectory, ``lead_s`` after its beginning; it is predicted to its end.

    Args:
        trajectories: recordings of equal length at a multiple of the control rate.
        dt: control step in s.
        lead_s: recorded time from which the first velocity and the past controls are taken; two control steps or more.
        smoothing_s: window of the Savitzky-Golay filter in s, 0 for none.

    Raises:
        ValueError: the trajectories differ in length, or are shorter than the lead and a control step.
    """
    lead = round(lead_s / dt)
    logs = [decimate(smooth(log, smoothing_s) if smoothing_s > 0 else log, dt) for log in trajectories]
    lengths = {len(log) for log in logs}
    if len(lengths) != 1 or min(lengths) < lead + 2 or lead < 2:
        raise ValueError(
            f"trajectories to validate on must be equally long, {lead_s:g} s of lead and more; they hold "
            f"{sorted(lengths)} control steps"
        )
    poses = np.stack([log.poses for log in logs])
    controls = np.stack([log.controls for log in logs])
    velocities = np.stack([body_velocities(log.poses, dt)[lead - 1] for log in logs])
    return Starts(
        states=np.concatenate([poses[:, lead], velocities], axis=1),
        controls=controls[:, lead:-1],
        past=controls[:, :lead],
        poses=poses[:, lead:],
        dt=dt,
        starts=np.array([log.t[lead] for log in logs]),
    )


def final_pose_errors(predict: Predictor, starts: Starts) -> np.ndarray:
    """(B,) L1 norms of the final poses' errors: metres along x, metres along y, and rad of the wrapped heading."""
    last = predict(starts.states, starts.controls, starts.past)[:, -1, :3]
    difference = last - starts.poses[:, -1]
    difference[:, 2] = np.arctan2(np.sin(difference[:, 2]), np.cos(difference[:, 2]))
    return np.abs(difference).sum(axis=1)


def trajectory_validation_error(predict: Predictor, starts: Starts) -> float:
    """Mean of :func:`final_pose_errors` (equation 10); infinite where a prediction is not finite."""
    errors = final_pose_errors(predict, starts)
    return float(errors.mean()) if np.isfinite(errors).all() else float("inf")


def one_step_losses(network: CarNetwork, windows: Windows, epsilon: float = 0.1) -> dict[str, float]:
    """Mean losses ``l1``, ``l2`` and ``relative`` (equation 11) of the velocities one step ahead, in m/s and rad/s."""
    standing = np.concatenate([np.zeros((len(windows), 3)), windows.velocities], axis=1)
    before = windows.actions - 1
    predicted = rollout(network, standing, windows.controls[:, before : before + 1], windows.controls[:, :before])
    target = windows.targets[:, 0]
    difference = predicted[:, 1, 3:] - target
    size = np.abs(difference).sum(axis=1)
    return {
        "l1": float(size.mean()),
        "l2": float((difference**2).sum(axis=1).mean()),
        "relative": float((size / (np.abs(target).sum(axis=1) + epsilon)).mean()),
    }


def as_predictor(networks: CarNetwork | Sequence[CarNetwork]) -> Predictor:
    """A network, or the mean of several networks' predicted velocities step by step, as a predictor."""
    if not isinstance(networks, CarNetwork):
        return _ensemble(tuple(networks))

    def predict(states: np.ndarray, controls: np.ndarray, past: np.ndarray) -> np.ndarray:
        return rollout(networks, states, controls, past[:, past.shape[1] - (networks.actions - 1) :])

    return predict


def _ensemble(networks: tuple[CarNetwork, ...]) -> Predictor:
    def predict(states: np.ndarray, controls: np.ndarray, past: np.ndarray) -> np.ndarray:
        given = np.concatenate([past, controls], axis=1)
        path = np.repeat(states[:, None], controls.shape[1] + 1, axis=1)
        for step in range(controls.shape[1]):
            now = past.shape[1] + step
            nexts = [
                rollout(network, path[:, step], controls[:, step : step + 1], given[:, now - network.actions + 1 : now])
                for network in networks
            ]
            velocity = np.mean([one[:, 1, 3:] for one in nexts], axis=0)
            path[:, step + 1] = advance(path[:, step], velocity, networks[0].dt)
        return path

    return predict


def advance(states: np.ndarray, velocity: np.ndarray, dt: float) -> np.ndarray:
    """States (B, 6) one control step on, in which the car moved with ``velocity`` (B, 3) (equation 2)."""
    cosine, sine = np.cos(states[:, 2]), np.sin(states[:, 2])
    moved = np.stack(
        [
            cosine * velocity[:, 0] - sine * velocity[:, 1],
            sine * velocity[:, 0] + cosine * velocity[:, 1],
            velocity[:, 2],
        ],
        axis=1,
    )
    return np.concatenate([states[:, :3] + dt * moved, velocity], axis=1)
