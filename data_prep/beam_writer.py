"""Write shards with Apache Beam: in several local processes, or on another runner of the user's.

Beam passes the paths of the shards only. It passes no images, because TFDS's own Beam writer sorts them in the runner,
and the local runner sorts in memory; and no lists of radiographs, because the local runner makes many copies of them.
The list of a shard is stored beside it on disk until the shard is written.
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
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cxrjax.runtime import signals
from data_prep.example import Example
from data_prep.options import Options
from data_prep.record import PreparationError, Record
from data_prep.shards import Shard, ShardResult, write_shard


def is_beam_requested(options: Options) -> bool:
    """Return whether the options select Beam.

    Raises:
        PreparationError: fewer than one worker is requested.
    """
    if options.workers < 1:
        raise PreparationError(f"--workers={options.workers}: at least one is needed")
    return options.workers > 1 or bool(options.beam_pipeline_options)


def write_shards(shards: Sequence[Shard], read: Callable[[Record], Example], options: Options) -> list[ShardResult]:
    """Write shards in any order, on workers that share the output folder.

    Args:
        shards: their radiographs and their files.
        read: see `shards.write_shard`; it is pickled for the workers.
        options: `workers`, `beam_pipeline_options`.

    Returns:
        The result of each, in the order of `shards`.

    Raises:
        PreparationError: Beam is not installed, it rejects the options, or a worker failed.
    """
    beam = _import_beam()
    pipeline = _make_pipeline(beam, options)
    for shard in shards:
        _task_file(shard.path).write_bytes(pickle.dumps(shard))
    try:
        paths = pipeline | beam.Create([shard.path for shard in shards])
        _ = paths | beam.Reshuffle() | beam.Map(partial(_run_task, read))
        pipeline.run().wait_until_finish()
    except RuntimeError as error:  # Beam wraps the error of a worker with its traceback
        last_line = [line for line in str(error).splitlines() if line.strip()][-1]
        reason = last_line.partition(": ")[2].partition(" [while running")[0]
        raise PreparationError(f"a worker failed: {reason or last_line.strip()}") from error
    return [_read_result(shard) for shard in shards]


def _import_beam() -> Any:
    logging.disable(logging.WARNING)  # it warns if its part for Google's cloud is not installed
    try:
        import apache_beam
    except ImportError as error:
        message = "--workers and --beam_pipeline_options need Apache Beam: pip install 'cxrjax[beam]'"
        raise PreparationError(message) from error
    finally:
        logging.disable(logging.NOTSET)
    return apache_beam


def _make_pipeline(beam: Any, options: Options) -> Any:
    logging.getLogger("apache_beam.runners").setLevel(logging.CRITICAL)  # its errors are also raised
    threading.excepthook = _report_thread_error
    flags = [f"--direct_num_workers={options.workers}"]
    flags += [f"--{option}" for option in options.beam_pipeline_options.split(",") if option]
    messages = io.StringIO()
    try:
        with contextlib.redirect_stderr(messages):
            pipeline_options = beam.options.pipeline_options.PipelineOptions(flags)
            pipeline_options.get_all_options()  # checks them
            runner = pipeline_options.view_as(beam.options.pipeline_options.StandardOptions).runner
            return beam.Pipeline(runner or _make_local_runner(), options=pipeline_options)
    except (SystemExit, Exception) as error:
        reason = (messages.getvalue() or str(error)).strip().splitlines()[-1]
        raise PreparationError(f"--beam_pipeline_options={options.beam_pipeline_options}: {reason}") from error


def _report_thread_error(error: threading.ExceptHookArgs) -> None:
    """Print the error of a thread, unless a signal ended the workers that the threads watch."""
    if signals.received() is None:
        threading.__excepthook__(error)


def _make_local_runner() -> Any:
    """Return a runner of local processes; Beam's default runner would first try to download another program."""
    from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
    from apache_beam.transforms.environments import SubprocessSDKEnvironment

    # A worker logs everything to its standard error; its errors are returned in another way.
    worker = f"{shlex.quote(sys.executable)} -m apache_beam.runners.worker.sdk_worker_main 2>{os.devnull}"
    # Beam's decorator has no types, so pyright takes the class for a function.
    environment = SubprocessSDKEnvironment.from_command_string(worker)  # pyright: ignore[reportFunctionMemberAccess]
    return FnApiRunner(environment)


def _run_task(read: Callable[[Record], Example], path: str) -> None:
    shard = pickle.loads(_task_file(path).read_bytes())
    _result_file(path).write_text(json.dumps(write_shard(shard, read)), encoding="utf-8")


def _read_result(shard: Shard) -> ShardResult:
    result = ShardResult(*json.loads(_result_file(shard.path).read_text(encoding="utf-8")))
    for file in (_task_file(shard.path), _result_file(shard.path)):
        file.unlink()
    return result


def _task_file(path: str) -> Path:
    """Return the file of the shard's radiographs, which a worker reads."""
    return Path(f"{path}.order")


def _result_file(path: str) -> Path:
    """Return the file of the shard's result, which a worker writes."""
    return Path(f"{path}.json")
