"""Checks of a data set: near-duplicate radiographs, and labels that are confounded with the source."""
