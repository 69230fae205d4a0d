"""Kernels for a CPU, where XLA's own are slow."""
