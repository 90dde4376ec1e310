"""Implicit behavioural cloning: an energy of actions, and the search for its minimum."""
