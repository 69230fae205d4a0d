"""What is freed is kept: asked for again, it costs no new pages."""

import subprocess
import sys

import pytest

# Blocks of 64 MB, each page written once; says how many pages the system had to give in the second half.
COUNT = """
import ctypes, resource, sys
from cxrjax import allocator
if sys.argv[1] == "kept":
    allocator.keep_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
def use(times):
    for _ in range(times):
        block = libc.malloc(64 << 20)
        ctypes.memset(block, 1, 64 << 20)
        libc.free(block)
use(2)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
use(10)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is Linux's")
def test_freed_memory_is_asked_for_again_without_new_pages():
    faults = {
        how: int(subprocess.run([sys.executable, "-c", COUNT, how], capture_output=True, text=True, check=True).stdout)
        for how in ("kept", "returned")
    }
    assert faults["kept"] < 100 < 10 * (64 << 20) // (2 << 20) <= faults["returned"]  # pages of 2 MB at most
