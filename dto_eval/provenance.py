"""Where a run came from: code, packages and machine."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path

import dto_envs
from dto_eval.records import Provenance

PACKAGES = (
    "dto-envs", "numpy", "gymnasium", "torch", "mujoco", "robosuite", "pymunk", "numba", "scipy", "diffusers",
    "proxsuite",
)  # fmt: skip


def provenance() -> Provenance:
    """The provenance of a run that starts now."""
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return Provenance(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        git_commit=commit,
        git_dirty=None if changes is None else bool(changes),
        versions={"python": platform.python_version(), **_versions()},
        platform=f"{platform.platform()}; {_processor()}",
    )


def differences(before: Provenance, now: Provenance) -> str:
    """What of the code and packages of ``before`` is another one ``now``, for a message; empty where nothing is."""
    parts = [
        f"{name} {version}"
        for name, version in before.versions.items()
        if now.versions.get(name) != version and name != "dto-envs"
    ]
    if before.git_commit != now.git_commit:
        parts.insert(0, f"commit {(before.git_commit or 'unknown')[:12]}")
    return ", ".join(parts)


def _versions() -> dict[str, str]:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _git(*arguments: str) -> str | None:
    """Output of git in the checkout that holds this package, None where there is none or no git."""
    root = Path(dto_envs.__file__).parent.parent
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _processor() -> str:
    """The processor's model name: results can differ in the last bit between models."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
