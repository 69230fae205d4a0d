"""Data sets on disk and in memory, batches and their order."""
