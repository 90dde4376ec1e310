"""Do our resets draw from the distribution of robosuite's hard resets? Two-sample Kolmogorov-Smirnov tests say.

robosuite reloads its model 300 times per task, about 0.5 s each, from one generator that runs on; ours resets with 300
seeds. Under equal distributions, p-values are uniform: the smallest of all is compared with the Bonferroni bound.

Run: python benchmarks/bench_robomimic_resets.py [number of resets]
"""

from __future__ import annotations

import sys
import time

import gymnasium
import numpy as np
from scipy import stats

import dto_envs  # noqa: F401  (registers the ids)
from dto_envs.robomimic.build import TASKS, make_robosuite_env, quiet

# Lift's cube and the head of Transport's hammer differ in size from reset to reset.
SAMPLED_GEOMS = {"Lift": "cube_g0", "Transport": "payload_head"}


def quantities(simulator, task: str) -> dict[str, float]:
    """What a reset samples: seven joint angles, the object's position and yaw, and sampled sizes."""
    model, data = simulator
    body = model.body(TASKS[task].object_body)
    start = model.jnt_qposadr[body.jntadr[0]]
    w, _, _, z = data.qpos[start + 3 : start + 7]
    values = {f"joint {k + 1}": data.qpos[k] for k in range(7)}
    values |= {f"object {axis}": data.qpos[start + k] for k, axis in enumerate("xyz")}
    values["object yaw"] = 2 * np.arctan2(z, w) % (2 * np.pi)
    if task in SAMPLED_GEOMS:
        size = model.geom(SAMPLED_GEOMS[task]).size
        values |= {f"size {axis}": size[k] for k, axis in enumerate("xyz")}
    return {name: float(value) for name, value in values.items()}


def collect(task: str, count: int) -> tuple[list[dict[str, float]], list[dict[str, float]], float, float]:
    """Samples of hard resets and of ours, and the milliseconds that one of each takes."""
    hard = make_robosuite_env(TASKS[task], hard_reset=True, seed=12345)
    ours = gymnasium.make(f"dto/{task}-v0").unwrapped
    theirs_sample, ours_sample = [], []
    start = time.process_time()
    for _ in range(count):
        with quiet():
            hard.reset()
        theirs_sample.append(quantities((hard.sim.model._model, hard.sim.data._data), task))
    middle = time.process_time()
    for seed in range(count):
        ours.reset(seed=seed)
        ours_sample.append(quantities((ours.model, ours.data), task))
    end = time.process_time()
    return theirs_sample, ours_sample, 1e3 * (middle - start) / count, 1e3 * (end - middle) / count


def main() -> None:
    """Print a p-value for each sampled quantity of each task."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    smallest = []
    for task in TASKS:
        theirs, ours, hard_ms, our_ms = collect(task, count)
        print(f"{task}: {count} resets each; hard reset {hard_ms:.0f} ms, ours {our_ms:.1f} ms")
        for name in theirs[0]:
            a, b = ([sample[name] for sample in samples] for samples in (theirs, ours))
            if np.ptp(a) < 1e-9 and np.ptp(b) < 1e-9:
                print(f"  {name:12s} constant, difference {abs(a[0] - b[0]):.1e}")
                continue
            p_value = stats.ks_2samp(a, b).pvalue
            smallest.append(p_value)
            print(f"  {name:12s} p = {p_value:.3f}")
    bound = 0.05 / len(smallest)
    verdict = "no difference found" if min(smallest) > bound else "THE DISTRIBUTIONS DIFFER"
    print(f"smallest p-value {min(smallest):.4f}, bound {bound:.4f}: {verdict}")


if __name__ == "__main__":
    main()
