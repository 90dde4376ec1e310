"""Diffusion policy on camera pictures (Chi et al. 2023): recipes, network, training, policy."""
