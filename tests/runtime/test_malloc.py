"""What is freed is kept, in large pages, and costs no new ones when asked for again; and is given back when told."""

import subprocess
import sys
from pathlib import Path

import pytest

# Blocks of 64 MB, each page written once; says how many pages the system had to give in the second half.
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


# Holds 64 MB and frees it below another block, so that the end of the heap stays; says how much of that stays resident.
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

# Holds 64 MB in blocks of 1 MB, then gives back what is free and holds as much again; says how much is in large pages.
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
def test_freed_memory_is_asked_for_again_without_new_pages():
    faults = {
        how: int(subprocess.run([sys.executable, "-c", COUNT, how], capture_output=True, text=True, check=True).stdout)
        for how in ("kept", "returned")
    }
    assert faults["kept"] < 100 < 10 * (64 << 20) // (2 << 20) <= faults["returned"]  # pages of 2 MB at most


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is Linux's")
def test_freed_memory_is_given_back_when_that_is_said():
    said = subprocess.run([sys.executable, "-c", RESIDENT], capture_output=True, text=True, check=True).stdout
    kept, after = map(int, said.split())
    assert kept > 60 << 20 and after < 4 << 20


@pytest.mark.skipif(
    not PAGES.exists() or "[madvise]" not in PAGES.read_text(), reason="this system does not leave it to each program"
)
def test_memory_lies_in_large_pages():
    large = {}
    for how in ("kept", "returned"):
        command = [sys.executable, "-c", LARGE, how]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        large[how] = tuple(map(int, said.split()))
    assert large["returned"] == (0, 0)
    assert large["kept"][0] >= 60 << 20 and large["kept"][1] >= 120 << 20
