"""Scripted experts: they solve the tasks from the state observation alone, and move as a person does."""

from __future__ import annotations

from dto_agents.experts.scripted import EXPERTS, STYLES, ScriptedExpert, make_expert

__all__ = ["EXPERTS", "STYLES", "ScriptedExpert", "make_expert"]
