"""Results of several devices or processes equal those of one; the processes are real and connect on loopback."""

import json
import os
import runpy
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from cxrjax.io import predictions_csv
from data_prep.__main__ import main as prepare

ROOT = Path(__file__).resolve().parents[2]


def run_all(commands: list[list[str]], devices: int = 1) -> None:
    """Run processes in parallel, each with `devices` CPU devices."""
    cpu = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices), "PYTHONPATH": str(ROOT)}
    with ExitStack() as running:
        started = []
        for command in commands:
            process = subprocess.Popen(
                [sys.executable, *command], cwd=ROOT, env=os.environ | cpu, stderr=subprocess.PIPE, text=True
            )
            started.append(running.enter_context(process))
            running.callback(process.kill)  # before it is waited for
        for process in started:
            _, output = process.communicate(timeout=900)  # of a machine that others share
            assert process.returncode == 0, output[-3000:]


def find_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def alone():
    return runpy.run_path(str(ROOT / "tests" / "helpers" / "host.py"))["work"]()


@pytest.mark.parametrize(
    "processes, devices, used", [(1, 8, 6), (2, 1, 2), pytest.param(2, 4, 6, marks=pytest.mark.slow)]
)
def test_steps_and_rows_equal_those_of_one_device(tmp_path, alone, processes, devices, used):
    """Batches of 1, 6, 9 and 17 rows do not divide by all devices. SGD, float32, 4 steps."""
    outs = [tmp_path / f"{process}.npz" for process in range(processes)]
    place = [f"127.0.0.1:{find_port()}", str(processes)] if processes > 1 else []
    run_all(
        [["tests/helpers/host.py", str(out), *place, *([str(i)] if place else [])] for i, out in enumerate(outs)],
        devices,
    )
    for out in outs:
        with np.load(out) as found:
            assert found["devices"] == used  # of a batch of 6
            assert set(found) == {*alone, "devices"}
            for name, expected in alone.items():
                rtol, atol = (1e-5, 1e-6) if name.startswith("['diagnosis']") else (1e-4, 1e-5)
                np.testing.assert_allclose(found[name], expected, rtol=rtol, atol=atol, err_msg=name)


@pytest.mark.parametrize(
    "variables, expected",
    [
        ({}, min(len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(), 8)),
        ({"JAX_NUM_CPU_DEVICES": "3"}, 3),
        ({"XLA_FLAGS": "--xla_force_host_platform_device_count=5"}, 5),
    ],
)
def test_every_core_is_a_device_unless_a_variable_is_set(variables, expected):
    words = (
        "import jax; from cxrjax.runtime import sharding; sharding.use_one_device_per_core(); print(jax.device_count())"
    )
    inherited = {name: value for name, value in os.environ.items() if name not in ("JAX_NUM_CPU_DEVICES", "XLA_FLAGS")}
    environment = inherited | {"JAX_PLATFORMS": "cpu"} | variables
    found = subprocess.run([sys.executable, "-c", words], cwd=ROOT, env=environment, capture_output=True, check=True)
    assert int(found.stdout) == expected


def test_devices_of_a_cpu_share_the_memory_of_constants():
    """Wherever the memory of the NumPy array begins."""
    words = """if True:
        import numpy as np
        from cxrjax.runtime.sharding import BatchSharding
        placed = BatchSharding(8)
        for offset in range(4):
            x = np.arange(100_000, dtype=np.float32)[offset:]
            y = placed.replicate_constants({"x": x})["x"]
            shards = y.addressable_shards
            assert len({shard.device for shard in shards}) == 4
            assert all((np.asarray(shard.data) == x).all() for shard in shards)
            print(len({shard.data.unsafe_buffer_pointer() for shard in shards}))
    """
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "4"}
    found = subprocess.run([sys.executable, "-c", words], cwd=ROOT, env=environment, capture_output=True, check=True)
    assert found.stdout.split() == 4 * [b"1"]


@pytest.mark.slow
def test_run_on_two_processes_or_eight_devices_equals_one_device(tmp_path):
    """Trained and evaluated by the command line, ten radiographs in batches of nine and five of five."""
    assert prepare(["phantom", f"--out={tmp_path}", "--count=4", "--size=64", "--split_ratios=0.6,0.2,0.2"]) == 0
    settings = {
        "data.dir": tmp_path / "phantom", "image.size": 40, "patches.size": 40,
        # At a rate of 1e-3 compiler options alone move the loss of one device by 4e-4, at 1e-5 by 6e-7, relative.
        "optimizer.name": "sgd", "training.learning_rate": 1e-5,
        "training.epochs": 3, "training.batch_size": 9, "training.checkpoint_every_minutes": 0.0,
        "evaluation.batch_size": 5, "augmentation.rotation": 10.0, "augmentation.flip_horizontal": 0.5,
    }  # fmt: skip
    config = ["--config=configs/hieu2695.py:baseline", *(f"--config.{key}={value}" for key, value in settings.items())]

    def do(name: str, processes: int, devices: int) -> tuple[list[dict], list[dict]]:
        workdir = tmp_path / name
        for arguments in (config, ["--mode=evaluate"]):
            command = ["-m", "cxrjax.main", f"--workdir={workdir}", *arguments]
            place = [f"--coordinator_address=127.0.0.1:{find_port()}", f"--num_processes={processes}"]
            run_all([command + [*place, f"--process_id={i}"] * (processes > 1) for i in range(processes)], devices)
        records = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
        return records, predictions_csv.read(workdir / "evaluation" / "test" / "predictions.csv")

    one = do("one", 1, 1)
    for other in (do("processes", 2, 1), do("devices", 1, 8)):
        for ours, theirs, rtol in zip(other, one, (2e-5, 1e-4), strict=True):  # records, then rows
            assert [list(row) for row in ours] == [list(row) for row in theirs]
            for mine, its in zip(ours, theirs, strict=True):
                for key, value in its.items():
                    same = mine[key] == value
                    assert same or mine[key] == pytest.approx(value, rel=rtol, abs=1e-6, nan_ok=True), key
