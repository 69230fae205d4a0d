"""Data card of a prepared data set: statistics, warnings and example images."""
