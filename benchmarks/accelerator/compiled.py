"""Count the kernels of the programs that XLA compiles for a GPU, without a GPU.

    pip install 'jax[cuda13]'
    export JAX_PLATFORMS=cpu JAX_SKIP_CUDA_CONSTRAINTS_CHECK=1 XLA_FLAGS=--xla_gpu_autotune_level=0
    python -m benchmarks.accelerator.compiled [--sizes=tiny] [--out=DIR]

prints a table, and writes the compiled programs to DIR. Algorithms are not tuned, so that times cannot be derived, but
the kernels of small batches take about the same time each.
"""

import argparse
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
from jax.experimental import topologies

from benchmarks import synthetic
from benchmarks.accelerator import inference
from benchmarks.accelerator import sizes as all_sizes
from benchmarks.accelerator.sizes import Sizes
from benchmarks.results import write_table
from cxrjax.runs import run_dir
from cxrjax.runtime.platform import traced_for

# Description of an H100, from which XLA compiles for it.
TARGET = """
platform_name: "CUDA"
device_description_str: "NVIDIA H100 80GB HBM3"
dnn_version_info { major: 9 minor: 19 patch: 0 }
gpu_device_info {
  cuda_compute_capability { major: 9 minor: 0 }
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
  shared_memory_per_block: 49152 shared_memory_per_core: 233472 shared_memory_per_block_optin: 232448
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  core_count: 132 fpus_per_core: 128 clock_rate_ghz: 1.98
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000 l2_cache_size: 52428800 device_memory_size: 84942979072
}
"""
HEADER = ["program", "kernels outside loops", "convolutions", "in loops", "temporary memory, MB"]
_INSTRUCTION = re.compile(r"\s+(?:ROOT )?%?[\w.\-]+ = .*? ([a-z\-]+)\(")
_COMPUTATION = re.compile(r"\n(?=(?:ENTRY )?%?[\w.\-]+ \()")
_NO_KERNELS = {"parameter", "constant", "get-tuple-element", "tuple", "bitcast", "while", "call"}


def compile_program(function: Any, arguments: Any) -> Any:
    """Compile a jitted function for the GPU of TARGET."""
    topology = topologies.get_topology_desc(platform="cuda", target_config=TARGET, topology="1x1x1")
    sharding = jax.sharding.SingleDeviceSharding(topology.devices[0])

    def describe(x: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

    with traced_for("cuda"):
        return function.lower(*jax.tree.map(describe, arguments)).compile()


def count_kernels(text: str) -> dict[str, Counter[str]]:
    """Count the kernels of a compiled program, by computation; "ENTRY" is outside loops."""
    counts = {}
    for computation in _COMPUTATION.split(text):
        head = computation.split("\n", 1)[0]
        name = "ENTRY" if head.startswith("ENTRY") else head.split(" ", 1)[0]
        # Bodies of fusions are one kernel each, which is counted where the fusion is called.
        if re.match(r"%?(fused|wrapped|gemm_fusion|input_|loop_)", name):
            continue
        matches = [_INSTRUCTION.match(line) for line in computation.split("\n")[1:]]
        kernels = Counter(match[1] for match in matches if match and match[1] not in _NO_KERNELS)
        if kernels["fusion"] + kernels["custom-call"]:
            counts[name] = kernels
    return counts


def rows(sizes: Sizes, folder: Path, out: Path | None) -> Iterator[list[str]]:
    """Yield the row of each program."""
    synthetic.write_runs(folder, **sizes.changes)
    config = replace(run_dir.load_config(folder / "classifier"), precision="bfloat16")
    variables = run_dir.load_networks(folder / "classifier", config)
    with traced_for("cuda"):
        programs = {f"whole, batch of {n}": inference.whole(config, variables, n) for n in sizes.batches[:2]}
        programs |= inference.stages(config, variables, sizes.batches[1])
    for name, program in programs.items():
        compiled = compile_program(*program)
        text = compiled.as_text()
        if out:
            (out / f"{name.replace(' ', '_')}.txt").write_text(text)
        counts = count_kernels(text)
        outside = counts.pop("ENTRY", Counter())
        in_loops = sum((count.total() for count in counts.values()), 0)
        memory = compiled.memory_analysis().temp_size_in_bytes / 2**20
        yield [name, str(outside.total()), str(text.count('"__cudnn$')), str(in_loops), f"{memory:.0f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", choices=("full", "tiny"), default="full", help="sizes of the programs")
    parser.add_argument("--out", type=Path, help="folder of the compiled programs (default: none)")
    options = parser.parse_args()
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        print(write_table(HEADER, list(rows(getattr(all_sizes, options.sizes.upper()), Path(folder), options.out))))


if __name__ == "__main__":
    main()
