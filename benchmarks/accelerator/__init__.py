"""Everything that is to be learned on a GPU or a TPU, in one program: see `__main__`."""
