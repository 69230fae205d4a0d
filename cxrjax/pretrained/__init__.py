"""Weights of other projects: read, checked and renamed."""
