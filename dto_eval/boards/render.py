"""The boards as files: ``README.md`` for people, ``boards.json`` for programs, both the same on every machine."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dto_envs.registry import row
from dto_envs.smoothness import motion_groups
from dto_eval.boards.evidence import canonical_json, resolution
from dto_eval.boards.guard import RefusedError, code
from dto_eval.boards.ranking import FAILURE_RATIO, MOTION, SMOOTHNESS, SUCCESS_RATIO, Board, BoardRow, make_boards
from dto_eval.boards.submit import admitted
from dto_eval.statistics import Interval

README, BOARDS, SUBMISSIONS = "README.md", "boards.json", "submissions"
_DIGITS = 6  # significant, in boards.json: beyond what another processor's rounding could change

HEADER = """# Leaderboards

Written by `dto-board render` from the evidence in `submissions/`; do not edit. Every figure is computed from the
records and commanded actions of each episode.

**How agents are ranked.** ★ marks the Pareto front of {headlines} and smoothness (the standard deviation of
differences): no other agent is as successful and as smooth. There is no ranking by smoothness alone, for a robot that
stands still is perfectly smooth; only agents that do better than standing still (`hold`) can be on the front.

**What the columns mean.** Differences are those of successive commanded actions on the normalised scale ([-1, 1] is
the action range): per trajectory dimension the largest magnitude (max) or the standard deviation (std) over an
episode, averaged over the dimensions, then over the episodes. In brackets: 95 % two-way cluster bootstrap intervals
over training seeds and initial states. *Over the limit*: share of the episodes with a difference beyond the task's
limit, and the largest excess. *Between chunks, inside*: mean magnitude of the differences where one predicted chunk
ends and the next begins, and of all others. *Solved by all*: means over the episodes that every compared agent solved,
for early success shortens an episode; compared are the agents with the members of `base` and at least half its
{headlines}.

Actions are archived rounded to a fiftieth of the task's limit, {widths}: an excess that is not larger
cannot be told from rounding and counts as none. The SHA-256 of the exact actions is part of every record, and
`dto-board verify` compares it with a new simulation.

**How to submit.** Run `dto-eval --env ENV --agent AGENT --episodes 1500` from a clean checkout, then
`dto-board submit RUN` and `dto-board render`, and open a pull request with what changed in this folder. Anyone can
check a submission with `dto-board verify leaderboards/submissions/TASK/AGENT/DIGEST`.
"""

COSTS = f"""
**Costs.** Where the task counts costs, *cost* is the mean over the episodes with success. *Over the lowest*: mean of
each episode's cost over the lowest of all agents here from the same initial state, at most {SUCCESS_RATIO:g}, and
{FAILURE_RATIO:g} for episodes without success.
"""


def render(root: Path, *, check: bool = False) -> list[str]:
    """Compute the boards from ``root``/submissions and write them, or compare them with those that are there.

    Args:
        root: the folder of the leaderboards.
        check: write nothing.

    Returns:
        Names of the files that were written; with ``check``, of those that differ.

    Raises:
        RefusedError: a submission is not admitted; nothing has been written then.
    """
    boards = make_boards(admitted(root / SUBMISSIONS))
    contents = {README: board_page(boards), BOARDS: canonical_json(board_data(boards))}
    stale = [name for name, text in contents.items() if _read(root / name) != text]
    if check:
        return stale
    from dto_eval.boards.plot import plot_board

    root.mkdir(parents=True, exist_ok=True)
    missing = [board for board in boards if stale or not (root / picture(board)).exists()]
    # Written beside their places and moved there, so that a link that stands there is replaced and not followed.
    with tempfile.TemporaryDirectory(dir=root, prefix=".") as scratch:
        for name in stale:
            (Path(scratch) / name).write_text(contents[name], encoding="utf-8")
        for board in missing:
            plot_board(board, Path(scratch) / picture(board))
        written = stale + [picture(board) for board in missing]
        for name in written:
            (Path(scratch) / name).replace(root / name)
    return written


def picture(board: Board) -> str:
    """File name of a board's picture."""
    return f"{task(board)}.png"


def task(board: Board) -> str:
    """``dto/Square-v0`` -> ``Square``."""
    return board.env_id.split("/")[-1].rsplit("-v", 1)[0]


def board_page(boards: Sequence[Board]) -> str:
    """``README.md``: how to read the boards, then a table for each environment."""
    widths = ", ".join(f"{resolution(row(board.env_id).layout):g} on {board.env_id}" for board in boards)
    text = HEADER.format(headlines="success (Push-T: score)", widths=widths or "on the normalised scale")
    text += COSTS if any(row(board.env_id).has_cost for board in boards) else ""
    if not boards:
        return text + "\nThere are no submissions yet.\n"
    return "\n".join([text, *(_section(board) for board in boards)])


def board_data(boards: Sequence[Board]) -> dict[str, Any]:
    """``boards.json`` as plain data: environment id -> headline and rows."""
    return {
        "schema_version": 1,
        "boards": {
            board.env_id: {"headline": board.headline, "rows": [_row_data(entry, board.env_id) for entry in board.rows]}
            for board in boards
        },
    }


def _section(board: Board) -> str:
    layout = row(board.env_id).layout
    lines = [
        f"## {board.env_id}",
        "",
        f"Limit on differences: {layout.bound:g}. Control rate: {1 / layout.dt:g} Hz.{_compared(board)}",
        "",
        f"![{board.headline} against smoothness]({picture(board)})",
        "",
        *_main_table(board),
        "",
        "In physical units, means over episodes (SPARC and LDLJ: the larger the smoother; - where nothing moves):",
        "",
        *_motion_table(board),
        "",
    ]
    return "\n".join(lines)


def _compared(board: Board) -> str:
    """Whose members are compared, where there is no ``base``."""
    if board.reference in (None, "base"):
        return ""
    return f" There is no `base` here: compared are the agents with the members of {code(board.reference)}."


def _main_table(board: Board) -> list[str]:
    leading = ["Score", "Success"] if board.headline == "score" else ["Success"]
    header = ["", "Agent", *leading, "Max difference", "Std of differences", "Over the limit"]
    costs = row(board.env_id).has_cost
    header += ["Cost", "Cost over the lowest"] if costs else []
    solved = f"Solved by all: max, std, steps{', cost' if costs else ''}"
    header += ["Between chunks, inside", "Steps", "Episodes", solved, "Evidence"]
    body = []
    for entry in board.rows:
        figures = [entry.score, entry.success] if board.headline == "score" else [entry.success]
        body.append(
            [
                "★" if entry.front else "",
                code(entry.agent) + "".join(f" ({flag})" for flag in entry.flags),
                *(_interval(figure, 3) for figure in figures),
                _interval(entry.smoothness["max_difference"], 3),
                _interval(entry.smoothness["std_difference"], 4),
                f"{100 * entry.violating:.1f} %, {entry.max_violation:.4f}" if entry.violating else "none",
                *([_cost(entry.cost), _cost(entry.cost_ratio)] if costs else []),
                _jumps(entry),
                f"{entry.steps:.1f}",
                f"{entry.episodes} ({entry.members} x {math.ceil(entry.episodes / entry.members)})",
                _solved(entry),
                f"[{entry.name.rsplit('/', 1)[1]}]({SUBMISSIONS}/{entry.name})",
            ]
        )
    return _table(header, body)


def _motion_table(board: Board) -> list[str]:
    layout = row(board.env_id).layout
    header = ["Agent", "Motion", "Mean \\|difference\\|", "Peak velocity", "Peak acceleration", "Peak jerk"]
    header += ["Normalised jerk", "SPARC", "LDLJ"]
    body = []
    for entry in board.rows:
        for group, dimensions in motion_groups(layout).items():
            unit = layout.units[dimensions[0]].removesuffix("/s")
            figures = entry.groups[group]
            cells = [_number(figures[name]) for name in MOTION]
            for order, index in enumerate(("/s", "/s²", "/s³")):
                cells[order] += f" {unit}{index}"
            mean = figures["mean_abs_difference"]
            body.append([code(entry.agent), group, "-" if mean is None else f"{mean:.4f}", *cells])
    return _table(header, body)


def _jumps(entry: BoardRow) -> str:
    between, inside = entry.jumps["boundary_mean_difference"], entry.jumps["interior_mean_difference"]
    return "-" if between is None or inside is None else f"{between:.4f}, {inside:.4f}"


def _solved(entry: BoardRow) -> str:
    if entry.solved_smoothness is None:
        return "-"
    means = entry.solved_smoothness
    figures = [f"{means['max_difference']:.3f}", f"{means['std_difference']:.4f}", f"{means['steps']:.1f}"]
    figures += [f"{means['cost']:.3f}"] if "cost" in means else []
    return f"{', '.join(figures)} (n = {entry.solved})"


def _cost(interval: Interval | None) -> str:
    return "-" if interval is None else _interval(interval, 3)


def _table(header: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *body)]


def _interval(interval: Interval, digits: int) -> str:
    return f"{interval.mean:.{digits}f} [{interval.lo:.{digits}f}, {interval.hi:.{digits}f}]"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _row_data(entry: BoardRow, env_id: str) -> dict[str, Any]:
    return {
        "submission": entry.name,
        "agent": entry.agent,
        "front": entry.front,
        "created": entry.created,
        "commit": entry.commit,
        "flags": list(entry.flags),
        "episodes": entry.episodes,
        "members": entry.members,
        "success_rate": _interval_data(entry.success),
        "score": _interval_data(entry.score),
        "steps": _rounded(entry.steps),
        **{name: _interval_data(entry.smoothness[name]) for name in SMOOTHNESS},
        "violating_episodes": _rounded(entry.violating),
        "max_violation": _rounded(entry.max_violation),
        **(_cost_data(entry) if row(env_id).has_cost else {}),
        "limits": {
            name: {"violations": count, "max_violation": _rounded(size)} for name, (count, size) in entry.limits.items()
        },
        **{name: _rounded(value) for name, value in entry.jumps.items()},
        "groups": {
            group: {name: _rounded(value) for name, value in figures.items()} for group, figures in entry.groups.items()
        },
        "solved_by_all": None
        if entry.solved_smoothness is None
        else {
            "episodes": entry.solved,
            **{name: _rounded(value) for name, value in entry.solved_smoothness.items()},
        },
    }


def _cost_data(entry: BoardRow) -> dict[str, Any]:
    figures = {"cost": entry.cost, "cost_over_lowest": entry.cost_ratio}
    return {name: None if value is None else _interval_data(value) for name, value in figures.items()}


def _interval_data(interval: Interval) -> dict[str, float | None]:
    return {name: _rounded(value) for name, value in interval.as_dict().items()}


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{_DIGITS}g}")


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedError(f"cannot read {path.name}: {error}") from error
