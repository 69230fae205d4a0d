"""Peak performance of the machine, which fractions of the roofline refer to."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

# Every competitor that can multiplies two float32 matrices of this side; the fastest product is the roofline.
PRODUCT = "matrix product"
SIDE = 2048
PRODUCT_OPERATIONS = 2 * SIDE**3

_BYTES = 2**28  # much larger than the caches
_TRIES = 5


def measure_bandwidth() -> float:
    """Return the bytes per second read and written if all cores copy parts of a large array: the best of some tries."""
    count = len(os.sched_getaffinity(0))
    sources = [np.ones(_BYTES // 4 // count, np.float32) for _ in range(count)]
    targets = [np.zeros_like(source) for source in sources]

    def copy(pool: ThreadPoolExecutor) -> float:
        start = time.perf_counter()
        list(pool.map(np.copyto, targets, sources))
        return time.perf_counter() - start

    with ThreadPoolExecutor(count) as pool:
        return 2 * _BYTES / min(copy(pool) for _ in range(_TRIES))
