"""How long `import dto_envs` takes, and how much of that is Gymnasium and NumPy.

Run: python benchmarks/bench_import.py
"""

from __future__ import annotations

import subprocess
import sys


def import_seconds(module: str, repeats: int = 5) -> float:
    """Best time that fresh interpreters take to import ``module``."""
    code = f"import time; start = time.perf_counter(); import {module}; print(time.perf_counter() - start)"
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(repeats)
    ]
    return min(float(done.stdout) for done in runs)


def main() -> None:
    """Print a line for each module."""
    for module in ("numpy", "gymnasium", "dto_envs", "dto_envs.filters", "dto_envs.wrappers", "dto_envs.pusht"):
        print(f"{module:20s}{import_seconds(module):8.3f} s")


if __name__ == "__main__":
    main()
