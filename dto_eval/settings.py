"""What a run chose of its environment beside the id: all of it stands in the serialised spec that it was made from."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import Any

import gymnasium

from dto_envs.actions import ActionLayout
from dto_envs.registry import EnvRow, row
from dto_eval.records import Protocol


@dataclass(frozen=True)
class Settings:
    """Choices that every environment has, or that its row in the registry says it has.

    Attributes:
        obs_type: what the agent observes: ``state``, ``image``, ``state_image``, or ``pointcloud`` where there is one.
        render_quality: how images are drawn: ``default``, or ``fast`` where the environment knows it.
        object_set: the frozen objects of this name, None for those that the seed draws.
        feed_forward: whether actions carry forces after positions.
    """

    obs_type: str = "state"
    render_quality: str = "default"
    object_set: str | None = None
    feed_forward: bool = False

    def check(self, env_id: str) -> EnvRow:
        """The environment's row.

        Raises:
            ValueError: a choice that the environment does not have.
        """
        entry = row(env_id)
        if self.obs_type not in entry.obs_types:
            raise ValueError(f"{env_id} cannot be observed as {self.obs_type!r}; choose {', '.join(entry.obs_types)}")
        if self.render_quality != "default":
            if self.render_quality not in (known := entry.render_qualities):
                choice = f"choose {' or '.join(known)}" if known else "its images are drawn in one way"
                raise ValueError(f"{env_id} has no render quality {self.render_quality!r}; {choice}")
            if "image" not in self.obs_type:
                raise ValueError("a render quality is for images, which the agent does not get; add --obs-type image")
        if self.object_set is not None and self.object_set not in (known := entry.object_sets):
            choice = f"choose {', '.join(known)}" if known else "it has none"
            raise ValueError(f"{env_id} has no object set {self.object_set!r}; {choice}")
        if self.feed_forward and entry.force_layout is None:
            raise ValueError(f"{env_id} takes no forces; leave out --feed-forward")
        return entry

    def layout(self, env_id: str) -> ActionLayout:
        """What an action means."""
        entry = self.check(env_id)
        return entry.force_layout if self.feed_forward and entry.force_layout else entry.layout


def env_spec(env_id: str, settings: Settings = Settings(), *, run_out: bool = False) -> str:
    """The serialised Gymnasium spec that a run makes its environments from; it names what is not the default.

    Raises:
        ValueError: a choice that the environment does not have.
    """
    settings.check(env_id)
    spec = copy.deepcopy(gymnasium.spec(env_id))
    if run_out:
        spec.kwargs["terminate_on_success"] = False
    spec.kwargs |= {name: value for name, value in vars(settings).items() if value != getattr(Settings, name)}
    return spec.to_json()


def settings_of(protocol: Protocol) -> Settings:
    """What a run chose.

    Raises:
        ValueError: its spec is not JSON, or holds a choice of another type.
    """
    spec: Any = json.loads(protocol.env_spec)
    kwargs = spec.get("kwargs") if isinstance(spec, dict) else None
    chosen = {name: kwargs[name] for name in vars(Settings()) if name in kwargs} if isinstance(kwargs, dict) else {}
    for name, value in chosen.items():
        if not isinstance(value, bool if name == "feed_forward" else str):
            raise ValueError(f"env_spec has {name} = {value!r}")
    return Settings(**chosen)


def layout_of(protocol: Protocol) -> ActionLayout:
    """What an action of a run means."""
    return settings_of(protocol).layout(protocol.env_id)
