"""Policies, experts, demonstrations, training, and the zoo of shipped weights."""
