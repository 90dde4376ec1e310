"""3D Diffusion Policy, a diffusion policy on point clouds (Ze et al. 2024): recipe, encoder, policy, training."""
