"""A robosuite environment that looks at, and can step, a simulation built elsewhere."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from dto_envs.robomimic.build import Task, give_back_memory, make_robosuite_env, quiet


def adopt(task: Task, model: mujoco.MjModel, data: mujoco.MjData) -> Any:
    """Build a robosuite environment whose simulation is ``model`` and ``data``; neither changes.

    Args:
        task: the task that the model was compiled for.
        model: compiled model.
        data: its state.
    """
    env = make_robosuite_env(task)
    with quiet():
        from robosuite.utils.binding_utils import MjSim

        sim = MjSim(model)
        sim.data._data = data
        signature = mujoco.mjtState.mjSTATE_INTEGRATION
        before = np.empty(mujoco.mj_stateSize(model, signature))
        mujoco.mj_getState(model, data, before, signature)
        env.sim = sim
        # ToolHang's sensors hold on to the arrays of the simulation that they were made for.
        env._observables = env._setup_observables()
        env.reset()
        mujoco.mj_setState(model, data, before, signature)
        mujoco.mj_forward(model, data)
        # Forwarding has moved the solver's warm start, which is part of the state.
        mujoco.mj_setState(model, data, before, signature)
        restart_controller(env)
    give_back_memory()
    return env


def restart_controller(env: Any) -> None:
    """Let robosuite's controllers, buffers and observables start afresh from the simulation's present state."""
    data = env.sim.data._data
    warm_start = data.qacc_warmstart.copy()
    for robot in env.robots:
        robot.gripper["right"].current_action = np.zeros(1)
        robot.part_controllers["right"].update_initial_joints(data.qpos[robot._ref_joint_pos_indexes])
    env.timestep = 0
    env.done = False
    env._obs_cache = {}
    for observable in env._observables.values():
        observable.reset()
    env._get_observations(force_update=True)
    data.qacc_warmstart[:] = warm_start
