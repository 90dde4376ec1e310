import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from dto_agents import zoo
from dto_envs.registry import row
from dto_eval.evaluate import resolve_protocol
from dto_eval.records import Episode, Member, Protocol, Provenance, Run
from dto_eval.rollout import Rollout, actions_digest
from dto_eval.run_folder import open_run
from dto_eval.shards import plan

CLEAN = Provenance(
    created="2026-01-02T03:04:05+00:00",
    git_commit="0123456789abcdef0123456789abcdef01234567",
    git_dirty=False,
    versions={"python": "3.11.0"},
    platform="anywhere",
)
SEEDS = tuple(Member(name=f"seed{k}", training_seed=k, checkpoint="last") for k in (42, 142))


def init_hash(init: int) -> str:
    return hashlib.sha256(f"initial state {init}".encode()).hexdigest()


def walk(rng: np.random.Generator, steps: int, size: int, step: float) -> np.ndarray:
    """A random walk (steps, D_a) on the normalised scale with differences of up to ``step``."""
    return np.clip(np.cumsum(rng.uniform(-step, step, (steps, size)), axis=0), -0.9, 0.9)


@dataclass
class Maker:
    """Makes complete run folders without a simulator."""

    root: Path
    made: int = 0
    provenance: Provenance = CLEAN

    def protocol(self, agent="robots.py:Mine", env_id="dto/PushT-v0", episodes=6, members=SEEDS, **changes) -> Protocol:
        if ":" not in agent:
            protocol = resolve_protocol(env_id, agent, episodes=episodes)
        else:
            # The class is never imported: nothing but the protocol says what ran.
            made = resolve_protocol(env_id, "hold", episodes=episodes)
            protocol = made.model_copy(update={"agent": agent, "base": agent, "members": members})
        return protocol.model_copy(update=changes)

    def run(
        self,
        protocol: Protocol,
        *,
        step: float = 0.04,
        succeeds: Callable[[str, int], bool] = lambda member, init: init % 2 == 0,
        actions: Callable[[str, int, int], np.ndarray] | None = None,
        n_action_steps: int = 1,
        **changes,
    ) -> Path:
        """A folder with one random walk per episode; ``changes`` are made to every record."""
        self.made += 1
        folder = self.root / f"run{self.made}"
        entry = row(protocol.env_id)
        with open_run(folder, Run(protocol=protocol, provenance=self.provenance)) as opened:
            for shard in plan(protocol):
                for member, init in shard.keys:
                    success = succeeds(member, init)
                    steps = 20 + init % 7 if success else entry.horizon
                    rng = np.random.default_rng([init, len(member), ord(member[-1])])
                    made = actions(member, init, steps) if actions else None
                    if made is None:
                        made = entry.layout.denormalize(walk(rng, steps, entry.layout.size, step))
                    made = np.asarray(made, dtype=np.float32)
                    record = Episode(
                        member=member,
                        init=init,
                        shard=shard.index,
                        init_hash=init_hash(init),
                        steps=steps,
                        success_once=success,
                        success_at_end=success,
                        score=1.0 if success else (0.5 if entry.headline == "score" else 0.0),
                        actions_sha256=actions_digest(made),
                        wall_s=0.25,
                    )
                    opened.add(Rollout(record.model_copy(update=changes), made, None, n_action_steps))
                opened.finish_shard(shard)
            opened.complete()
        return folder


@pytest.fixture
def make(tmp_path) -> Maker:
    (tmp_path / "runs").mkdir()
    return Maker(tmp_path / "runs")


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "leaderboards"


@pytest.fixture
def weights(tmp_path, monkeypatch) -> Path:
    """A zoo of the diffusion policy on Push-T with two seeds; its weights are never loaded."""
    folder = tmp_path / "zoo"
    monkeypatch.setattr(zoo, "SHIPPED", folder)
    for seed in (42, 142):
        path = zoo.member_path("diffusion", "dto/PushT-v0", seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"weights {seed}".encode())
        card = {
            "weights_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "steps": 5,
        }
        path.with_suffix(".json").write_text(json.dumps(card))
    return folder
