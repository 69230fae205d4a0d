"""Freed memory is reused without new pages, lies in large pages, and is returned to the system by `trim_heap`."""

import subprocess
import sys
from pathlib import Path

import pytest

# Allocates blocks of 64 MB and writes each page once; prints the number of page faults in the second half.
COUNT = """
import ctypes, resource, sys
from cxrjax.runtime import malloc
if sys.argv[1] == "kept":
    malloc.tune_malloc()
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


# Frees 64 MB below another block, so that the heap does not shrink; prints how much of it stays resident.
RESIDENT = """
import ctypes
from cxrjax.runtime import malloc
malloc.tune_malloc()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
before = resident()
block, above = libc.malloc(64 << 20), libc.malloc(1 << 20)
ctypes.memset(block, 1, 64 << 20)
libc.free(block)
kept = resident() - before
malloc.trim_heap()
print(kept, resident() - before)
"""

# Allocates 64 MB in blocks of 1 MB, trims the heap and allocates as much again; prints how much is in large pages.
LARGE = """
import ctypes, re, sys
from cxrjax.runtime import malloc
if sys.argv[1] == "kept":
    malloc.tune_malloc()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
def hold():
    for _ in range(64):
        ctypes.memset(libc.malloc(1 << 20), 1, 1 << 20)
    return int(re.search(r"AnonHugePages: +(\\d+) kB", open("/proc/self/smaps_rollup").read())[1]) << 10
first = hold()
if sys.argv[1] == "kept":
    malloc.trim_heap()
print(first, hold())
"""
PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is Linux's")
def test_freed_memory_is_reused_without_new_pages():
    faults = {
        how: int(subprocess.run([sys.executable, "-c", COUNT, how], capture_output=True, text=True, check=True).stdout)
        for how in ("kept", "returned")
    }
    assert faults["kept"] < 100 < 10 * (64 << 20) // (2 << 20) <= faults["returned"]  # pages of 2 MB at most


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is Linux's")
def test_trim_heap_returns_freed_memory():
    output = subprocess.run([sys.executable, "-c", RESIDENT], capture_output=True, text=True, check=True).stdout
    before, after = map(int, output.split())
    assert before > 60 << 20 and after < 4 << 20


@pytest.mark.skipif(
    not PAGES.exists() or "[madvise]" not in PAGES.read_text(), reason="this system does not leave it to each program"
)
def test_memory_is_in_large_pages():
    large = {}
    for how in ("kept", "returned"):
        command = [sys.executable, "-c", LARGE, how]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        large[how] = tuple(map(int, output.split()))
    assert large["returned"] == (0, 0)
    assert large["kept"][0] >= 60 << 20 and large["kept"][1] >= 120 << 20
