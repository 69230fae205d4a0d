"""Trackers: programs that record the settings, metrics and images of a training, beside its metrics.jsonl.

`base` has their interface, `tracker_group` opens those of a config, and each other module has one of them.
"""
