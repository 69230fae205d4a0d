"""A receiver: accept, examine and send, until it is stopped."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pynetdicom._config

from cxrjax.dicom.silencing import silence
from cxrjax.inference.model import Model
from cxrjax.inference.prediction import Prediction
from cxrjax.io import limits
from cxrjax.receive import job_queue
from cxrjax.receive.examiner import Examine, Examiner, SetAsideError
from cxrjax.receive.job_queue import JobQueue
from cxrjax.receive.nodes import Node, Senders
from cxrjax.receive.scp import MAX_OBJECT_BYTES, StoreProvider
from cxrjax.receive.scu import Sender
from cxrjax.receive.states import RadiographState, ResultState
from cxrjax.runtime import lock, signals
from cxrjax.runtime.formatting import format_count
from cxrjax.runtime.terminal import print_line, warn

_GRACE_SECONDS = 120  # to finish what is under way after a signal
_STOP_SECONDS = 10  # for open associations to end
_POLL_SECONDS = 0.2


class Settings(NamedTuple):
    """Settings of a receiver."""

    folder: Path  # of the queue
    title: str  # AE title of this receiver
    host: str
    port: int
    senders: Senders
    destination: Node | None  # of the results; None to leave them in the folder
    reject_ood: bool = False
    if_inverted: str = "refuse"


def receive(model: Model, settings: Settings) -> None:
    """Accept radiographs, predict them and send the results, until a signal ends the process.

    Args:
        model: the model.
        settings: the settings.

    Raises:
        QueueError: the folder has other files, or is the queue of another model.
        LockedError: another process uses the folder.
        ListenError: the address cannot be listened on.
        OSError: the folder cannot be written.
        Interrupted: a signal was received.
    """
    job_queue.create_folders(settings.folder)
    with lock.acquire(settings.folder, "used", "--output"), silenced_libraries():
        print_line("compiling the networks, once per machine; then the receiver listens")
        queue = JobQueue(settings.folder, _identify(model))
        provider = StoreProvider(
            queue, settings.senders, settings.title, min(MAX_OBJECT_BYTES, limits.current().max_bytes)
        )
        examine = Examiner(model, reject_ood=settings.reject_ood, if_inverted=settings.if_inverted)
        sender = Sender(queue, settings.destination, settings.title) if settings.destination else None
        try:
            with signals.deferred(_GRACE_SECONDS) as stop_requested:
                port = provider.start(settings.host, settings.port)
                _announce(settings, port, queue)
                run(queue, provider, sender, examine, stop_requested)
        finally:
            queue.close()


def run(
    queue: JobQueue,
    provider: StoreProvider,
    sender: Sender | None,
    examine: Examine,
    stop_requested: Callable[[], bool],
) -> None:
    """Examine what a started provider accepts, until a stop is requested; then finish what is under way.

    Args:
        queue: the queue.
        provider: stores in the queue.
        sender: sends from the queue; None to leave the results there.
        examine: returns the results of a radiograph.
        stop_requested: returns whether to stop.
    """
    queue.retry_refused()
    if sender:
        sender.start()
    try:
        while not stop_requested():
            if not examine_next(queue, examine):
                queue.wait_for_change(_POLL_SECONDS)
    finally:
        provider.stop(_STOP_SECONDS)
        if sender:
            sender.stop(_GRACE_SECONDS)


def examine_next(queue: JobQueue, examine: Examine) -> bool:
    """Examine the next radiograph; return whether there was one."""
    job = queue.claim()
    if job is None:
        return False
    try:
        results = examine(job)
    except SetAsideError as error:
        queue.set_aside(job, error.reason)
        print_line(f"radiograph {job.id}: set aside ({job.path.name}): {error.reason}")
        return True
    except Exception as error:  # its text may quote the radiograph
        reason = f"an unexpected error ({type(error).__name__})"
        queue.fail(job, reason)
        warn(f"radiograph {job.id}: failed ({job.path.name}): {reason}")
        return True
    queue.complete(job, results)
    print_line(f"radiograph {job.id}: examined, {format_count(len(results), 'result')}")
    return True


@contextmanager
def silenced_libraries() -> Iterator[None]:
    """Discard warnings, log lines and tracebacks of the DICOM libraries in a block, since they quote values of objects.

    For the thread that builds results; another one that builds them waits until the block ends.
    """
    logger = logging.getLogger("pynetdicom")
    level = logger.level
    handlers = pynetdicom._config.LOG_HANDLER_LEVEL
    hook = threading.excepthook
    with silence():
        logger.setLevel(logging.CRITICAL + 1)
        pynetdicom._config.LOG_HANDLER_LEVEL = "none"
        threading.excepthook = _report_by_type
        try:
            yield
        finally:
            threading.excepthook = hook
            pynetdicom._config.LOG_HANDLER_LEVEL = handlers
            logger.setLevel(level)


def _report_by_type(arguments: threading.ExceptHookArgs) -> None:
    """Report an exception that ends a thread, such as one of pynetdicom that was sent an invalid message."""
    warn(f"a connection ended by an unexpected error ({arguments.exc_type.__name__})")


def _identify(model: Model) -> str:
    """Compile the networks by a blank image, and return what identifies their weights."""
    size = model.spec.input.size
    prediction = model.predict(np.zeros((size, size), np.uint8), preprocessed=True)
    assert isinstance(prediction, Prediction)
    return prediction.model_info.weights_sha256


def _announce(settings: Settings, port: int, queue: JobQueue) -> None:
    print_line(
        f"listening as {settings.title} at {settings.host}:{port} for {', '.join(sorted(settings.senders.titles))} "
        "(Ctrl-C stops); research, not for diagnosis"
    )
    counts = queue.count()
    if counts:
        print_line(
            f"from before: {format_count(counts[RadiographState.RECEIVED], 'radiograph')} to examine, "
            f"{format_count(counts[ResultState.WAITING], 'result')} to send, "
            f"{counts[RadiographState.SET_ASIDE]} set aside, {counts[RadiographState.FAILED]} failed"
        )
