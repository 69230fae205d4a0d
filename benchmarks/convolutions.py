"""Measure all implementations of a convolution, to check that the fastest one is chosen on this machine.

    python -m benchmarks.convolutions --json=convolutions.json

Measures forward passes, alone and with gradients, at the sizes of ResNet18 (patches of 224²) and FC-DenseNet103 (256²),
with all implementations that support a size, in turns. The table has median milliseconds, and the error relative to
XLA's convolution in float32.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from jax import Array

from benchmarks import results
from cxrjax.models.cpu import conv2d
from cxrjax.models.layers import xla
from cxrjax.runtime import malloc

# Images, side, channels, features, kernel, stride.
SIZES = (
    (10, 224, 3, 64, 7, 2),
    (10, 56, 64, 64, 3, 1),
    (10, 28, 128, 128, 3, 1),
    (10, 14, 256, 256, 3, 1),
    (10, 7, 512, 512, 3, 1),
    (10, 56, 64, 128, 3, 2),
    (2, 256, 112, 16, 3, 1),
    (2, 128, 272, 16, 3, 1),
    (2, 64, 400, 16, 3, 1),
    (2, 32, 600, 16, 3, 1),
)
ROUNDS = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="file to write the milliseconds to")
    options = parser.parse_args()
    malloc.tune_malloc()
    names = (*_implementations(3, 1), "chosen")
    rows = []
    records = []
    for size in SIZES:
        for what in ("forward", "with gradients"):
            times, error = _measure(size, what)
            records.append({"size": size, "what": what, "milliseconds": times, "error": error})
            cells = [f"{times[name]:.1f}" if name in times else "" for name in names]
            rows.append([", ".join(map(str, size)), what, *cells, f"{error:.0e}"])
    sizes = "images, side, channels, features, kernel, stride"
    print(results.write_table([sizes, "pass", *(f"{name}, ms" for name in names), "relative error"], rows))
    results.save(options.json, __doc__.splitlines()[0], {"machine": results.describe_machine(), "sizes": records})


def _implementations(kernel: int, stride: int) -> dict[str, Callable[..., Array]]:
    """Return the implementations that support a kernel size and a stride."""
    implementations = {"XLA": xla.conv_xla, "im2col": conv2d.conv_im2col}
    if stride == 1:
        implementations |= {"Winograd": conv2d.conv_winograd} if kernel == 3 else {}
        implementations |= {"matmul per tap": conv2d.conv_tap_matmul}
    return implementations


def _measure(size: tuple[int, ...], what: str) -> tuple[dict[str, float], float]:
    """Return the milliseconds of each implementation, and the error of the chosen one relative to the largest value."""
    n, side, channels, features, kernel, stride = size
    x = jax.random.normal(jax.random.key(0), (n, side, side, channels))
    weights = jax.random.normal(jax.random.key(1), (kernel, kernel, channels, features)) / (kernel * channels**0.5)

    def compile_program(implementation: Callable[..., Array]) -> Callable[[], Array]:
        def run(x: Array, weights: Array) -> Array | tuple[Array, ...]:
            if what == "forward":
                return implementation(x, weights, stride, kernel // 2)
            y, vjp = jax.vjp(lambda x, weights: implementation(x, weights, stride, kernel // 2), x, weights)
            return y, *vjp(y)

        compiled = jax.jit(run).lower(x, weights).compile()
        return lambda: jax.block_until_ready(compiled(x, weights))

    implementations = _implementations(kernel, stride) | {"chosen": conv2d.conv2d}
    programs = {name: compile_program(implementation) for name, implementation in implementations.items()}
    outputs = {name: jax.tree.leaves(run()) for name, run in programs.items()}
    seconds = {name: [] for name in programs}
    for _ in range(ROUNDS):
        for name, run in programs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    pairs = zip(outputs["chosen"], outputs["XLA"], strict=True)
    error = max(float(abs(chosen - reference).max() / abs(reference).max()) for chosen, reference in pairs)
    return {name: 1e3 * float(np.median(turns)) for name, turns in seconds.items()}, error


if __name__ == "__main__":
    main()
