"""How sure a score is and what else rows can tell: NumPy and SciPy alone, over many resamples at once."""
