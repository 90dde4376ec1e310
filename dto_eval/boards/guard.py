"""Reading files that nobody vouches for: sizes, paths, text and numbers are checked first."""

from __future__ import annotations

import json
import math
import re
import stat
from pathlib import Path
from typing import Any

MAX_RUN_BYTES = 256 * 1024
MAX_EVIDENCE_BYTES = 16 * 1024 * 1024
MAX_EPISODE_LINE_BYTES = 2048
MAX_EPISODES = 20_000
MAX_MEMBERS = 64

_AGENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+:/-]{0,127}")


class RefusedError(ValueError):
    """A run or submission is not admitted; the message is one line and says why."""


def read_file(folder: Path, name: str, limit: int) -> bytes:
    """Contents of the regular file ``name`` directly in ``folder``, at most ``limit`` bytes.

    Raises:
        RefusedError: absent, a link, not a regular file, or larger; nothing of it has been read then.
    """
    path = checked_file(folder, name, limit)
    with path.open("rb") as file:
        contents = file.read(limit + 1)
    if len(contents) > limit:
        raise RefusedError(f"{name} is larger than {limit} bytes")
    return contents


def checked_file(folder: Path, name: str, limit: int) -> Path:
    """The path of a regular file directly in ``folder`` of at most ``limit`` bytes; raises as :func:`read_file`."""
    if Path(name).name != name or name in ("", ".", ".."):
        raise RefusedError(f"{printable(name)} is not the name of a file in the folder")
    path = folder / name
    try:
        status = path.lstat()
    except OSError as error:
        raise RefusedError(f"{name} is missing from {printable(str(folder))}") from error
    if not stat.S_ISREG(status.st_mode):
        raise RefusedError(f"{name} is a link or something else than a regular file")
    if status.st_size > limit:
        raise RefusedError(f"{name} has {status.st_size} bytes; at most {limit} are read")
    return path


def checked_folder(path: Path) -> Path:
    """``path``, which must be a folder and not a link to one."""
    if path.is_symlink() or not path.is_dir():
        raise RefusedError(f"{printable(str(path))} is not a folder")
    return path


def only_contains(folder: Path, allowed: frozenset[str]) -> None:
    """Refuse a folder that holds anything but the files ``allowed``."""
    if foreign := sorted(entry.name for entry in folder.iterdir() if entry.name not in allowed):
        raise RefusedError(f"{printable(str(folder))} holds {printable(foreign[0])}, which no submission has")


def check_values(value: Any, where: str, depth: int = 0) -> None:
    """Refuse NaN, infinities, text that is no Unicode and deep nesting anywhere inside parsed JSON."""
    if depth > 6:
        raise RefusedError(f"{where} is nested too deeply")
    if isinstance(value, float) and not math.isfinite(value):
        raise RefusedError(f"{where} holds a number that is NaN or infinite")
    if isinstance(value, str) and not value.isascii() and value.encode("utf-8", "ignore").decode() != value:
        raise RefusedError(f"{where} holds text that is no Unicode")
    if isinstance(value, dict):
        for key, entry in value.items():
            check_values(key, where, depth + 1)
            check_values(entry, f"{where}.{printable(str(key), 40)}", depth + 1)
    elif isinstance(value, list | tuple):
        for entry in value:
            check_values(entry, where, depth + 1)


def parse_json(contents: bytes, where: str) -> Any:
    """Parsed JSON without NaN, infinities or duplicate keys.

    Raises:
        RefusedError: not such JSON.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs):
            raise RefusedError(f"{where} has the same key twice")
        return dict(pairs)

    try:
        value = json.loads(contents.decode("utf-8"), object_pairs_hook=unique)
    except RefusedError:
        raise
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"{where} is not JSON: {printable(str(error))}") from error
    check_values(value, where)
    return value


def check_agent_name(name: str) -> str:
    """``name`` if it may stand on a board: letters, digits and ``_.+:/-``, at most 128, and no ``..``."""
    if not _AGENT.fullmatch(name) or any(set(part) <= {"."} for part in name.split("/")):
        raise RefusedError(f"the agent's name {printable(name)} may hold only letters, digits and _.+:/-, 1 to 128")
    return name


def folder_name(agent: str) -> str:
    """The folder of an agent's submissions: its name, with ``-`` for what does not belong in a file name."""
    return re.sub(r"[^A-Za-z0-9_.+-]", "-", check_agent_name(agent))


def printable(text: str, limit: int = 120) -> str:
    """``text`` in one line of printable ASCII, at most ``limit`` characters, for messages."""
    line = "".join(character if " " <= character <= "~" else "?" for character in text)
    return line if len(line) <= limit else line[: limit - 3] + "..."


def code(agent: str) -> str:
    """An agent's name as Markdown code, in which nothing is markup: the name cannot hold a backtick."""
    return f"`{check_agent_name(agent)}`"
