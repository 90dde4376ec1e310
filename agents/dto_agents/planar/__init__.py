"""Planar pushing: the contact expert, the inverse-dynamics layer and the differentiable simulator."""
