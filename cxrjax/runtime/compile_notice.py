"""Notice on the terminal that JAX compiles a program, where it takes so long that a user would wonder."""

import functools
import re
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import jax

from cxrjax.runtime.progress import print_above_bars

SECONDS = 5.0  # of compilation before the notice
NOTICE = "cxrjax: compiling {program}, once per setting and machine; that of a large network takes minutes"
UNNAMED = "a program"
# JAX's events: the program is lowered, and its compilation begins; the compilation has ended.
_LOWERED = "/jax/core/compile/jaxpr_to_mlir_module_duration"
_COMPILED = "/jax/core/compile/backend_compile_duration"

_Function = TypeVar("_Function", bound=Callable[..., Any])
_titles: dict[str, str] = {}  # name of a function that is compiled -> what it computes


def describe_program(title: str) -> Callable[[_Function], _Function]:
    """Return a decorator that says in plain words what a function computes, for the notice while it is compiled.

    Args:
        title: such as "the classifier". Functions of one name have one title, since JAX reports the name alone.
    """

    def register(function: _Function) -> _Function:
        name = getattr(function, "__name__")  # noqa: B009  jitted functions have one, which their type lacks
        if _titles.setdefault(name, title) != title:
            raise ValueError(f"{name}: is {_titles[name]} elsewhere; two functions of one name have one title")
        return function

    return register


def find_title(name: str) -> str:
    """Return what a program computes, by the name that JAX reports of it, "classify" or "jit(classify)"."""
    return _titles.get(re.sub(r"^jit\((.*)\)$", r"\1", name), UNNAMED)


class _Notice:
    """Timer that is started when a compilation begins, and stopped when it ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def on_duration(self, event: str, duration_secs: float, **details: Any) -> None:  # the names of `jax.monitoring`
        """Handle an event of `jax.monitoring`."""
        if event not in (_LOWERED, _COMPILED):
            return
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if event == _LOWERED:
                self._timer = threading.Timer(SECONDS, _print_notice, [str(details.get("fun_name", ""))])
                self._timer.daemon = True
                self._timer.start()


@functools.cache  # a second listener would print it twice
def enable() -> None:
    """Print NOTICE on standard error whenever a compilation has taken SECONDS, for the rest of the process."""
    jax.monitoring.register_event_duration_secs_listener(_Notice().on_duration)


def _print_notice(name: str) -> None:
    print_above_bars(NOTICE.format(program=find_title(name)), sys.stderr)
