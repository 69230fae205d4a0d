"""Shards written by Apache Beam: several processes of this machine, or whatever runner the user has.

What Beam hands round is the names of the shards: never an image, for TFDS's own Beam writer would have them all sorted
by the runner, and the one that runs in this machine sorts in memory; nor the list of radiographs, of which that runner
keeps copy upon copy. The list of a shard lies beside it on the disk until it is written.
"""

import contextlib
import io
import json
import logging
import os
import pickle
import shlex
import sys
import threading
from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cxrjax.runtime import signals
from data_prep.example import Example
from data_prep.record import PreparationError, Record
from data_prep.shards import Shard, ShardResult, write_shard


def is_beam_requested(options: Namespace) -> bool:
    """Whether the command asks for Beam.

    Raises:
        PreparationError: fewer than one worker.
    """
    if options.workers < 1:
        raise PreparationError(f"--workers={options.workers}: at least one is needed")
    return options.workers > 1 or bool(options.beam_pipeline_options)


def write_shards(shards: Sequence[Shard], read: Callable[[Record], Example], options: Namespace) -> list[ShardResult]:
    """Writes shards in any order, on workers that see the same folder.

    Args:
        shards: what to write.
        read: see `shards.write`; it travels to the workers, pickled.
        options: `workers`, `beam_pipeline_options`.

    Returns:
        What became of each, in the order of `shards`.

    Raises:
        PreparationError: no Beam, options that it does not understand, or a worker that failed.
    """
    beam = _import_beam()
    pipeline = _make_pipeline(beam, options)
    for shard in shards:
        _task_file(shard.path).write_bytes(pickle.dumps(shard))
    try:
        paths = pipeline | beam.Create([shard.path for shard in shards])
        paths | beam.Reshuffle() | beam.Map(partial(_run_task, read))
        pipeline.run().wait_until_finish()
    except RuntimeError as error:  # Beam's wrapping of whatever a worker ran into, traceback and all
        last = [line for line in str(error).splitlines() if line.strip()][-1]
        reason = last.partition(": ")[2].partition(" [while running")[0]
        raise PreparationError(f"a worker failed: {reason or last.strip()}") from error
    return [_read_result(shard) for shard in shards]


def _import_beam() -> Any:
    logging.disable(logging.WARNING)  # it warns where its part for Google's cloud is not installed
    try:
        import apache_beam
    except ImportError as error:
        asks = "--workers and --beam_pipeline_options need Apache Beam"
        raise PreparationError(f"{asks}: pip install 'cxrjax[beam]'") from error
    finally:
        logging.disable(logging.NOTSET)
    return apache_beam


def _make_pipeline(beam: Any, options: Namespace) -> Any:
    logging.getLogger("apache_beam.runners").setLevel(logging.CRITICAL)  # its errors are raised as well
    threading.excepthook = _report_thread
    given = [f"--{one}" for one in options.beam_pipeline_options.split(",") if one]
    try:
        with contextlib.redirect_stderr(io.StringIO()) as said:
            known = beam.options.pipeline_options.PipelineOptions([f"--direct_num_workers={options.workers}", *given])
            known.get_all_options()  # which is where it looks at them all
            elsewhere = known.view_as(beam.options.pipeline_options.StandardOptions).runner
            return beam.Pipeline(elsewhere or _make_runner(), options=known)
    except (SystemExit, Exception) as error:
        reason = (said.getvalue() or str(error)).strip().splitlines()[-1]
        raise PreparationError(f"--beam_pipeline_options={options.beam_pipeline_options}: {reason}") from error


def _report_thread(failed: threading.ExceptHookArgs) -> None:
    """Says what ended a thread, but not where a signal ended the workers that the threads watch."""
    if signals.received() is None:
        threading.__excepthook__(failed)


def _make_runner() -> Any:
    """The runner for processes of this machine; Beam's default one would first try to download another program."""
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner
    from apache_beam.transforms.environments import SubprocessSDKEnvironment

    # A worker tells its whole life on its standard error; what fails in it comes back in another way.
    worker = f"{shlex.quote(sys.executable)} -m apache_beam.runners.worker.sdk_worker_main 2>{os.devnull}"
    return FnApiRunner(SubprocessSDKEnvironment.from_command_string(worker))


def _run_task(read: Callable[[Record], Example], path: str) -> None:
    shard = pickle.loads(_task_file(path).read_bytes())
    _result_file(path).write_text(json.dumps(write_shard(shard, read)), encoding="utf-8")


def _read_result(shard: Shard) -> ShardResult:
    written = ShardResult(*json.loads(_result_file(shard.path).read_text(encoding="utf-8")))
    for file in (_task_file(shard.path), _result_file(shard.path)):
        file.unlink()
    return written


def _task_file(path: str) -> Path:
    """What a worker is to do."""
    return Path(f"{path}.order")


def _result_file(path: str) -> Path:
    """What it says it did."""
    return Path(f"{path}.json")
