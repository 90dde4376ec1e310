"""Learned trajectory optimisers on top of a base policy (DiffOG, Xu et al. 2025): recipes, training, loading."""
