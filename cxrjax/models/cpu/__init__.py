"""Kernels for CPUs, on which XLA is slow; layers reach them through `switch.kernels`."""
