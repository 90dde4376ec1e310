"""Demonstrations: how they are stored, read, imported, collected and described."""
