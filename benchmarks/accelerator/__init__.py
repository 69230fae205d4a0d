"""All benchmarks for a GPU or a TPU in one program, see `__main__`."""
