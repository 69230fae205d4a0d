"""Which form of a convolution is the quickest on this machine, and is it the one that is chosen?

    python -m benchmarks.convolutions --json=convolutions.json

Forwards and backwards, at the sizes of ResNet18 (patches of 224²) and FC-DenseNet103 (256²); all that a size can be
computed by, in turn. Milliseconds, median; the relative error of single precision beside the library's convolution.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from jax import Array

from benchmarks import record
from cxrjax.models.cpu import conv2d
from cxrjax.models.layers import xla
from cxrjax.runtime import malloc

# Pictures, side, channels, features, kernel, stride.
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
    given = parser.parse_args()
    malloc.tune_malloc()
    names, rows, measured = (*_forms(3, 1), "chosen"), [], []
    for size in SIZES:
        for what in ("forwards", "with gradients"):
            times, error = _measure(size, what)
            measured.append({"size": size, "what": what, "milliseconds": times, "error": error})
            cells = [f"{times[name]:.1f}" if name in times else "" for name in names]
            rows.append([", ".join(map(str, size)), what, *cells, f"{error:.0e}"])
    sizes = "pictures, side, channels, features, kernel, stride"
    print(record.write_table([sizes, "", *names, "error"], rows))
    record.save(given.json, __doc__.splitlines()[0], {"machine": record.describe_machine(), "sizes": measured})


def _forms(kernel: int, stride: int) -> dict[str, Callable[..., Array]]:
    """The forms that a kernel of this size can be computed by."""
    forms = {"library": xla.conv_xla, "columns": conv2d.conv_im2col}
    if stride == 1:
        forms |= {"tiles": conv2d.conv_winograd} if kernel == 3 else {}
        forms |= {"taps": conv2d.conv_tap_matmul}
    return forms


def _measure(size: tuple[int, ...], what: str) -> tuple[dict[str, float], float]:
    """Milliseconds of each form, asked in turn; and the largest error of the one chosen, of the largest value."""
    n, side, channels, features, kernel, stride = size
    x = jax.random.normal(jax.random.key(0), (n, side, side, channels))
    weights = jax.random.normal(jax.random.key(1), (kernel, kernel, channels, features)) / (kernel * channels**0.5)

    def program(form: Callable[..., Array]) -> Callable[[], Array]:
        def run(x: Array, weights: Array) -> Array | tuple[Array, ...]:
            if what == "forwards":
                return form(x, weights, stride, kernel // 2)
            y, pull = jax.vjp(lambda x, weights: form(x, weights, stride, kernel // 2), x, weights)
            return y, *pull(y)

        compiled = jax.jit(run).lower(x, weights).compile()
        return lambda: jax.block_until_ready(compiled(x, weights))

    forms = _forms(kernel, stride) | {"chosen": conv2d.conv2d}
    programs = {name: program(form) for name, form in forms.items()}
    results = {name: jax.tree.leaves(run()) for name, run in programs.items()}
    seconds = {name: [] for name in programs}
    for _ in range(ROUNDS):
        for name, run in programs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    pairs = zip(results["chosen"], results["library"], strict=True)
    error = max(float(abs(ours - theirs).max() / abs(theirs).max()) for ours, theirs in pairs)
    return {name: 1e3 * float(np.median(each)) for name, each in seconds.items()}, error


if __name__ == "__main__":
    main()
