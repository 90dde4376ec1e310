"""Reads a user's own log of a car: a CSV or npz file with named columns, or an npz file in ETH Zurich's layout.

Columns are t [s], x, y [m], heading [rad], throttle and steering in [-1, 1], as :class:`dto_agents.rc_car.logs.Log`
wants them. Velocities are never read: they follow from the poses, since a recorded yaw rate spikes wherever the heading
wraps.

What is repaired, and told: wrapped headings; single spikes; samples that are not finite; samples of equal time; gaps
up to :data:`LONGEST_FILLED` (filled in), longer ones and jumps of the pose (the log is cut there); uneven times
(resampled); controls a little beyond their limits (clipped). Whatever else does not fit is a :class:`LogError` that
says what to do.
"""

from __future__ import annotations

import csv
import difflib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dto_agents.rc_car.logs import Log

COLUMNS = ("t", "x", "y", "heading", "throttle", "steering")
RECOMPUTED = ("vx", "vy", "omega")
ETH_ARRAYS = ("observation", "action", "next_observation")
ETH_RATE = 30.0  # Hz

LONGEST_FILLED = 0.1  # s without samples that are filled in
SHORTEST_PIECE = 1.0  # s of driving that are worth keeping
LOWEST_RATE = 10.0  # Hz
UNEVEN = 0.05  # deviation from even times, in steps, above which a log is resampled
SPIKE = (0.1, 0.1, 0.5)  # m, m, rad from the median of five samples
MOST_SPIKES = 0.05  # share of the samples
FASTEST = (15.0, 15.0, 40.0)  # m/s, m/s, rad/s; a pose that moves faster has jumped
BEYOND = 0.05  # by which controls may leave [-1, 1]


class LogError(ValueError):
    """A log that cannot be used; the message says what is wrong with it and what to do."""


@dataclass(frozen=True)
class Recording:
    """What a file holds.

    Attributes:
        pieces: uninterrupted drives at one rate, in the order they were recorded.
        repairs: one sentence per kind of repair; empty for a log that needed none.
    """

    pieces: tuple[Log, ...]
    repairs: tuple[str, ...]


def read_log(path: Path | str, *, rate: float | None = None) -> Recording:
    """Read a log.

    Args:
        path: ``.csv`` with a header, or ``.npz``, with the columns t, x, y, heading, throttle, steering; or ``.npz``
            with observation (N, 3 or more: x, y, heading first), action (N, 2: steering, throttle), next_observation.
        rate: Hz to resample to, for ETH Zurich's layout, which has no times, the rate of recording; by default the
            log's own rate, or 30.

    Raises:
        LogError: the log cannot be used.
        OSError: the file cannot be opened.
    """
    path = Path(path)
    if rate is not None and not LOWEST_RATE <= rate <= 10_000:
        raise LogError(f"a rate of {rate:g} Hz does not fit a car; pass {LOWEST_RATE:g} Hz or more")
    repairs: list[str] = []
    if path.suffix.lower() == ".csv":
        columns = _read_csv(path, repairs)
    elif path.suffix.lower() == ".npz":
        arrays = _read_npz(path)
        if set(ETH_ARRAYS[:2]) <= set(arrays):
            columns = _from_eth(path, arrays, rate or ETH_RATE, repairs)
            rate = None
        else:
            columns = _pick_columns(path, arrays, repairs)
    else:
        raise LogError(f"{path.name} is neither .csv nor .npz; export the log as one of them")
    return _repair(path, columns, rate, repairs)


def _read_csv(path: Path, repairs: list[str]) -> np.ndarray:
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = list(csv.reader(file))
    if not lines:
        raise LogError(f"{path} is empty")
    header, *rows = ([cell.strip() for cell in line] for line in lines if any(cell.strip() for cell in line))
    for number, cells in enumerate(rows, start=2):
        if len(cells) != len(header):
            raise LogError(f"line {number} of {path.name} has {len(cells)} cells for {len(header)} columns; repair it")
    named = {}
    for index, name in enumerate(header):
        values = np.empty(len(rows))
        for i, cells in enumerate(rows):
            try:
                values[i] = float(cells[index]) if cells[index] else np.nan
            except ValueError:
                if name.lower() not in COLUMNS:
                    break
                raise LogError(
                    f"line {i + 2} of {path.name} has {cells[index]!r} for {name!r}; write a number, or nothing"
                ) from None
        named[name] = values
    return _pick_columns(path, named, repairs)


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        raise LogError(f"{path} is not an npz file of plain arrays: {error}") from error


def _pick_columns(path: Path, named: dict[str, np.ndarray], repairs: list[str]) -> np.ndarray:
    """(N, 6) in the order of COLUMNS."""
    lowered = {name.lower(): np.asarray(values) for name, values in named.items()}
    missing = [name for name in COLUMNS if name not in lowered]
    others = [name for name in lowered if name not in COLUMNS]
    if missing:
        near = {name: difflib.get_close_matches(name, others, n=1, cutoff=0.4) for name in missing}
        hints = ", ".join(f"is {found[0]!r} {name!r}?" for name, found in near.items() if found)
        raise LogError(
            f"{path.name} lacks {', '.join(missing)}; it has {', '.join(named) or 'nothing'}. Name the columns "
            f"{', '.join(COLUMNS)} (s, m, m, rad, -1 to 1){': ' + hints if hints else ''}"
        )
    ignored = [name for name in others if name not in RECOMPUTED]
    recomputed = [name for name in others if name in RECOMPUTED]
    if ignored:
        repairs.append(f"ignored the columns {', '.join(ignored)}")
    if recomputed:
        repairs.append(f"recomputed {', '.join(recomputed)} from the poses")
    columns = [lowered[name] for name in COLUMNS]
    shapes = {values.shape for values in columns}
    if len(shapes) > 1 or columns[0].ndim != 1 or any(values.dtype.kind not in "fiu" for values in columns):
        told = ", ".join(f"{name} {values.dtype} {values.shape}" for name, values in zip(COLUMNS, columns, strict=True))
        raise LogError(f"the columns of {path.name} must be numbers (N,) of one length, not {told}")
    return np.stack(columns, axis=1).astype(np.float64)


def _from_eth(path: Path, arrays: dict[str, np.ndarray], rate: float, repairs: list[str]) -> np.ndarray:
    """(N, 6) in the order of COLUMNS; where a transition does not lead to the next one, the time jumps."""
    observation, action = np.asarray(arrays["observation"], float), np.asarray(arrays["action"], float)
    following = np.asarray(arrays.get("next_observation", observation[1:]), float)
    if observation.ndim != 2 or observation.shape[1] < 3 or action.shape != (len(observation), 2):
        raise LogError(
            f"{path.name} must hold observation (N, 3 or more) and action (N, 2), not {observation.shape} and "
            f"{action.shape}"
        )
    repairs.append("recomputed the velocities from the poses; took past controls from the log, not from observations")
    poses = observation[:, :3]
    t = np.arange(len(poses)) / rate
    if following.ndim == 2 and len(following) == len(poses) and len(poses) > 1:
        broken = np.abs(following[:-1, :2] - poses[1:, :2]).max(axis=1) > 1e-6
        t[1:] += np.cumsum(broken) * 10 * LONGEST_FILLED
    return np.column_stack([t, poses, action[:, ::-1]])


def _repair(path: Path, columns: np.ndarray, rate: float | None, repairs: list[str]) -> Recording:
    columns = _drop_unusable(path, columns, repairs)
    dt = _sampling_time(columns[:, 0])
    if 1 / dt < LOWEST_RATE * 0.99:
        raise LogError(
            f"{path.name} has a sample every {dt:.3g} s; record at {LOWEST_RATE:g} Hz or more, and give t in seconds"
        )
    if rate is not None and rate > 1.02 / dt:
        raise LogError(f"{path.name} was recorded at {1 / dt:.4g} Hz, too few for {rate:g} Hz; pass a lower rate")
    columns = _unwrap(path, columns, repairs)
    columns = _drop_spikes(path, columns, dt, repairs)
    columns = _limit_controls(path, columns, repairs)
    step = dt if rate is None else 1 / rate
    pieces, resampled, filled, short = [], False, 0, 0
    for piece in _cut(columns, dt, repairs):
        if piece[-1, 0] - piece[0, 0] < SHORTEST_PIECE - dt / 2:
            short += 1
            continue
        even = np.abs(piece[:, 0] - piece[0, 0] - dt * np.arange(len(piece))).max() < UNEVEN * dt
        if even and abs(step - dt) < 1e-3 * dt:
            pieces.append(Log(piece[:, 0], piece[:, 1:4], piece[:, 4:], step))
            continue
        filled += int(np.sum(np.diff(piece[:, 0]) > 1.5 * dt))
        resampled = True
        pieces.append(_resample(piece, step))
    if short:
        repairs.append(f"left out {short} piece(s) shorter than {SHORTEST_PIECE:g} s")
    if filled:
        repairs.append(f"filled {filled} gap(s) of up to {LONGEST_FILLED:g} s")
    if resampled:
        repairs.append(f"resampled to {1 / step:.4g} Hz: the times were uneven, had gaps or another rate")
    if not pieces:
        raise LogError(f"{path.name} holds no {SHORTEST_PIECE:g} s of uninterrupted driving; record a longer drive")
    return Recording(tuple(pieces), tuple(repairs))


def _sampling_time(times: np.ndarray) -> float:
    """The mean step between samples without those over gaps; exact where the rate is a whole number of Hz."""
    steps = np.diff(times)
    rate = 1 / np.mean(steps[steps < 1.5 * np.median(steps)])
    return float(1 / round(rate)) if abs(rate - round(rate)) < 1e-3 else float(1 / rate)


def _drop_unusable(path: Path, columns: np.ndarray, repairs: list[str]) -> np.ndarray:
    finite = np.isfinite(columns).all(axis=1)
    if not finite.all():
        repairs.append(f"left out {np.sum(~finite)} sample(s) that were not finite numbers")
    columns = columns[finite]
    if len(columns) < 3:
        raise LogError(f"{path.name} has {len(columns)} samples with finite numbers; record a drive")
    steps = np.diff(columns[:, 0])
    if np.any(steps < 0):
        sample = int(np.argmax(steps < 0)) + 1
        raise LogError(
            f"time runs backwards in {path.name} at sample {sample} ({columns[sample - 1, 0]:g} s, then "
            f"{columns[sample, 0]:g} s); sort the samples, or save each drive to its own file"
        )
    repeated = np.concatenate([[False], steps == 0])
    if repeated.any():
        repairs.append(f"left out {repeated.sum()} sample(s) with the same time as the one before")
    if np.sum(~repeated) < 3:
        raise LogError(f"nearly all samples of {path.name} have the same time; t must be in seconds, one per sample")
    return columns[~repeated]


def _unwrap(path: Path, columns: np.ndarray, repairs: list[str]) -> np.ndarray:
    jumps = np.abs(np.diff(columns[:, 3]))
    if np.any((jumps > 330) & (jumps < 390)):
        raise LogError(f"the heading in {path.name} jumps by 360; it is in degrees: multiply it by pi / 180")
    wraps = int(np.sum(jumps > np.pi))
    if wraps:
        repairs.append(f"unwrapped the heading at {wraps} sample(s)")
        columns = columns.copy()
        columns[:, 3] = np.unwrap(columns[:, 3])
    return columns


def _drop_spikes(path: Path, columns: np.ndarray, dt: float, repairs: list[str]) -> np.ndarray:
    """Without single samples far from both neighbours; turns of the heading by a full circle were undone before."""
    poses = columns[:, 1:4]
    padded = np.pad(poses, ((2, 2), (0, 0)), mode="edge")
    around = np.median(np.stack([padded[i : i + len(poses)] for i in range(5)]), axis=0)
    spikes = np.any(np.abs(poses - around) > SPIKE, axis=1)
    # A pose that jumps for good is no spike: it stays as far from the one before as its successors.
    spikes[[0, -1]] = False
    if spikes.mean() > MOST_SPIKES:
        raise LogError(
            f"{spikes.mean():.0%} of the poses in {path.name} jump by more than {SPIKE[0]} m or {SPIKE[2]} rad and "
            "back; x and y must be in m, heading in rad; or repair the tracking"
        )
    if spikes.any():
        repairs.append(f"left out {spikes.sum()} pose(s) that jumped away and back")
    return columns[~spikes]


def _limit_controls(path: Path, columns: np.ndarray, repairs: list[str]) -> np.ndarray:
    largest = float(np.abs(columns[:, 4:]).max())
    if largest > 1 + BEYOND:
        raise LogError(
            f"throttle or steering in {path.name} reaches {largest:.4g}; divide each by its largest command, to -1 to 1"
        )
    if largest > 1:
        repairs.append(f"clipped controls that reached {largest:.4g} to 1")
        columns = columns.copy()
        columns[:, 4:] = np.clip(columns[:, 4:], -1, 1)
    return columns


def _cut(columns: np.ndarray, dt: float, repairs: list[str]) -> Sequence[np.ndarray]:
    steps = np.diff(columns[:, 0])
    gaps = steps > LONGEST_FILLED + dt
    jumps = np.any(np.abs(np.diff(columns[:, 1:4], axis=0)) > np.array(FASTEST) * steps[:, None], axis=1) & ~gaps
    if jumps.mean() > MOST_SPIKES:
        raise LogError(
            f"{jumps.mean():.0%} of the poses jump to and fro faster than {FASTEST[0]:g} m/s or {FASTEST[2]:g} rad/s; "
            "x and y must be in m, heading in rad, t in s"
        )
    if gaps.any():
        repairs.append(f"cut the log at {gaps.sum()} gap(s) longer than {LONGEST_FILLED:g} s")
    if jumps.any():
        repairs.append(f"cut the log at {jumps.sum()} jump(s) of the pose")
    return np.split(columns, np.flatnonzero(gaps | jumps) + 1)


def _resample(piece: np.ndarray, dt: float) -> Log:
    """Poses linear between samples, controls held from one sample to the next."""
    t = piece[0, 0] + dt * np.arange(int((piece[-1, 0] - piece[0, 0]) / dt + 1e-6) + 1)
    poses = np.stack([np.interp(t, piece[:, 0], piece[:, column]) for column in (1, 2, 3)], axis=1)
    # A control that begins within half a millisecond of a grid time counts from it: times are rounded.
    held = np.searchsorted(piece[:, 0], t + 5e-4, side="right") - 1
    return Log(t, poses, piece[held, 4:], dt)
