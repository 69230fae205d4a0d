"""Peak performance of the machine: the ceiling, which is the rate of a matrix product, and the memory bandwidth."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

# Most competitors multiply two float32 matrices of this side; the fastest product is the ceiling.
PRODUCT = "matrix product"
SIDE = 2048
PRODUCT_OPERATIONS = 2 * SIDE**3

_BYTES = 2**28  # much larger than the caches
_TRIES = 5


def measure_bandwidth() -> float:
    """Return the bytes per second that all cores together read and write when copying: the highest of some tries."""
    count = len(os.sched_getaffinity(0))
    sources = [np.ones(_BYTES // 4 // count, np.float32) for _ in range(count)]
    targets = [np.zeros_like(source) for source in sources]

    def copy(pool: ThreadPoolExecutor) -> float:
        start = time.perf_counter()
        list(pool.map(np.copyto, targets, sources))
        return time.perf_counter() - start

    with ThreadPoolExecutor(count) as pool:
        return 2 * _BYTES / min(copy(pool) for _ in range(_TRIES))
