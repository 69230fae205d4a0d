"""The functions and data sets of the public namespace."""
