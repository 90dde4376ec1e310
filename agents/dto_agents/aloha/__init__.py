"""Experts for ALOHA's tasks: scripts for two hands, inverse kinematics, and a person's strokes."""
