"""Notice on the terminal that JAX compiles a program, where it takes so long that a user would wonder."""

import functools
import sys
import threading
from typing import Any

import jax

from cxrjax.runtime.progress import print_above_bars

SECONDS = 5.0  # of compilation before the notice
NOTICE = "cxrjax: compiling a program, once per setting and machine; that of a large network takes minutes"
# JAX's events: the program is lowered, and its compilation begins; the compilation has ended.
_LOWERED = "/jax/core/compile/jaxpr_to_mlir_module_duration"
_COMPILED = "/jax/core/compile/backend_compile_duration"


class _Notice:
    """Timer that is started when a compilation begins, and stopped when it ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def on_duration(self, event: str, duration_secs: float, **_: Any) -> None:  # the names of `jax.monitoring`
        """Handle an event of `jax.monitoring`."""
        if event not in (_LOWERED, _COMPILED):
            return
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if event == _LOWERED:
                self._timer = threading.Timer(SECONDS, _print_notice)
                self._timer.daemon = True
                self._timer.start()


@functools.cache  # a second listener would print it twice
def enable() -> None:
    """Print NOTICE on standard error whenever a compilation has taken SECONDS, for the rest of the process."""
    jax.monitoring.register_event_duration_secs_listener(_Notice().on_duration)


def _print_notice() -> None:
    print_above_bars(NOTICE, sys.stderr)
