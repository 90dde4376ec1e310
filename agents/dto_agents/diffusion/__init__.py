"""Diffusion policy on state observations (Chi et al. 2023): recipes, networks, training windows, policy, training."""
