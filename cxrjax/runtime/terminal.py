"""Print lines that hold names of files, labels and other text of strangers, and survive a reader that has left."""

import contextlib
import errno
import io
import os
import sys
from typing import TextIO


def escape(text: str, allowed: str = "") -> str:
    r"""Return a text in which every character that a terminal acts on, or cannot show, is escaped as Python does.

    Controls, line breaks, marks that turn the direction of writing, and bytes of a name that are not UTF-8: "\x1b",
    "\n", "\u202e", "\xe9".

    Args:
        text: what is to be printed.
        allowed: characters that stay, as the line breaks of a table.
    """
    return "".join(c if c.isprintable() or c in allowed else _escape_character(c) for c in text)


def say(text: str, file: TextIO | None = None) -> None:
    """Print one line, escaped.

    Args:
        text: the line.
        file: standard output, or another.
    """
    print(escape(text), file=file or sys.stdout, flush=True)


def warn(sentence: str) -> None:
    """Print a sentence on standard error, escaped and with the name of the program."""
    say(f"cxrjax: {sentence}", sys.stderr)


def show(table: str) -> None:
    """Print several lines on standard output, escaped but for the line breaks."""
    print(escape(table, allowed="\n"), flush=True)


def guard_streams() -> None:
    """Make standard output and error safe to write to, for the rest of the process.

    A stream that is closed becomes the null device, so that no file that is opened later gets its number. One whose
    reader leaves (a broken pipe) swallows what is written from then on. What its encoding cannot express is escaped.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:  # closed; open gives the lowest number that is free
            os.open(os.devnull, os.O_RDWR)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(descriptor, "w", closefd=False)  # noqa: SIM115  for the rest of the process
        if isinstance(stream, io.TextIOWrapper):
            setattr(sys, name, _Guarded(stream))


class _Guarded(io.TextIOWrapper):
    """Another stream's buffer, written line by line."""

    def __init__(self, stream: io.TextIOWrapper):
        stream.flush()
        super().__init__(stream.buffer, stream.encoding, errors="backslashreplace", line_buffering=True)
        self._former = stream  # which closes the buffer when it goes, and which handlers of logs may hold

    def write(self, text: str) -> int:
        with self._without_reader():
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with self._without_reader():
            super().flush()

    @contextlib.contextmanager
    def _without_reader(self):
        try:
            yield
        except OSError as error:
            # What is left in the buffer would fail again at the end of the process.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            if not isinstance(error, BrokenPipeError) and error.errno != errno.EIO:  # of a terminal that was closed
                raise


def _escape_character(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte, by surrogateescape
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape", "backslashreplace").decode()
