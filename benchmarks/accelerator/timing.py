"""How long programs take on a device."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

import jax


def measure(run: Callable[[], Any], turns: int, least: float = 0.2) -> float:
    """Return the median seconds of a call, the results being there, of some turns of at least `least` seconds each.

    The first call, in which things are compiled, does not count.
    """
    jax.block_until_ready(run())
    start = time.perf_counter()
    jax.block_until_ready(run())
    repeats = max(1, min(100, round(least / max(time.perf_counter() - start, 1e-6))))
    each = []
    for _ in range(turns):
        start = time.perf_counter()
        for _ in range(repeats):
            result = run()
        jax.block_until_ready(result)
        each.append((time.perf_counter() - start) / repeats)
    return median(each)


def compile_all(programs: Mapping[str, tuple[Any, tuple[Any, ...]]]) -> dict[str, Any]:
    """Compile programs, by name the jitted function and its arguments, side by side; those that fail are left out.

    Returns:
        By name the compiled program, or the exception that came instead.
    """

    def compile_one(program: tuple[Any, tuple[Any, ...]]) -> Any:
        function, arguments = program
        try:
            return function.lower(*arguments).compile()
        except Exception as error:  # it becomes a row
            return error

    with ThreadPoolExecutor(max(1, len(programs))) as pool:
        return dict(zip(programs, pool.map(compile_one, programs.values()), strict=True))


def read_peak() -> float | None:
    """Return the most memory that the first device has held, megabytes; None where it does not say."""
    known = jax.devices()[0].memory_stats() or {}
    return known["peak_bytes_in_use"] / 2**20 if "peak_bytes_in_use" in known else None
