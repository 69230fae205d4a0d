"""Commands that score a run on a split."""
