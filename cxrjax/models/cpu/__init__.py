"""Convolution kernels for CPUs, on which XLA is slow."""
