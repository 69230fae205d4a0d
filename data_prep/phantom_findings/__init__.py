"""Synthetic radiographs with several findings at once."""
