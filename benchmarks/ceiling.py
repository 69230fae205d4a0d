"""What the machine can do at most: the marks that shares of the ceiling refer to."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

# Every contestant that can multiplies two float32 matrices of this side; the quickest product of all is the ceiling.
PRODUCT, SIDE = "matrix product", 2048
PRODUCT_OPERATIONS = 2 * SIDE**3

_BYTES, _TRIES = 2**28, 5  # well beyond the caches


def measure_bandwidth() -> float:
    """Bytes a second read and written, all cores copying each its part of a large array: the best of a few tries."""
    count = len(os.sched_getaffinity(0))
    sources = [np.ones(_BYTES // 4 // count, np.float32) for _ in range(count)]
    targets = [np.zeros_like(source) for source in sources]

    def copy(pool: ThreadPoolExecutor) -> float:
        start = time.perf_counter()
        list(pool.map(np.copyto, targets, sources))
        return time.perf_counter() - start

    with ThreadPoolExecutor(count) as pool:
        return 2 * _BYTES / min(copy(pool) for _ in range(_TRIES))
