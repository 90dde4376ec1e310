"""Planar pushing: two fingers carry a polygon along a motion shown by a video (Aceituno et al., DLM, 2021)."""
