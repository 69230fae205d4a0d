"""Measure the time and memory of programs on a device."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

import jax


def measure(run: Callable[[], Any], turns: int, min_turn_seconds: float = 0.2) -> float:
    """Return the median seconds of a call including its results, over turns of at least `min_turn_seconds` each.

    The first call, which includes compilation, does not count.
    """
    jax.block_until_ready(run())
    start = time.perf_counter()
    jax.block_until_ready(run())
    repeats = max(1, min(100, round(min_turn_seconds / max(time.perf_counter() - start, 1e-6))))
    seconds = []
    for _ in range(turns):
        start = time.perf_counter()
        for _ in range(repeats):
            result = run()
        jax.block_until_ready(result)
        seconds.append((time.perf_counter() - start) / repeats)
    return median(seconds)


def compile_all(programs: Mapping[str, tuple[Any, tuple[Any, ...]]]) -> dict[str, Any]:
    """Compile programs (name -> jitted function and its arguments) in parallel.

    Returns:
        Name -> the compiled program, or the exception that it raised.
    """

    def compile_one(program: tuple[Any, tuple[Any, ...]]) -> Any:
        function, arguments = program
        try:
            return function.lower(*arguments).compile()
        except Exception as error:  # reported as a row
            return error

    with ThreadPoolExecutor(max(1, len(programs))) as pool:
        return dict(zip(programs, pool.map(compile_one, programs.values()), strict=True))


def program_memory(compiled: Any) -> float | None:
    """Return the megabytes of a compiled program including its arguments; None if XLA does not report them.

    The allocator's peak would include the memory of autotuning during compilation.
    """
    analysis = compiled.memory_analysis()
    if analysis is None:
        return None
    size = analysis.argument_size_in_bytes + analysis.output_size_in_bytes + analysis.temp_size_in_bytes
    return (size - analysis.alias_size_in_bytes) / 2**20
