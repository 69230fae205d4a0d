"""Printing of lines that contain untrusted text, such as file names and labels, also after the reader has closed."""

import contextlib
import errno
import io
import os
import sys
from typing import TextIO


def escape(text: str, allowed: str = "") -> str:
    r"""Escape, in Python's notation, every character that a terminal interprets or cannot display.

    These are control characters, line breaks, marks that change the writing direction, and bytes of a name that are not
    UTF-8: "\x1b", "\n", "\u202e", "\xe9".

    Args:
        text: the text to print.
        allowed: characters that are not escaped, such as the line breaks of a table.
    """
    return "".join(c if c.isprintable() or c in allowed else _escape_character(c) for c in text)


def print_line(text: str, file: TextIO | None = None) -> None:
    """Print one line, escaped.

    Args:
        text: the line.
        file: the stream; standard output if None.
    """
    print(escape(text), file=file or sys.stdout, flush=True)


def warn(sentence: str) -> None:
    """Print a sentence on standard error, escaped and prefixed with the name of the program."""
    print_line(f"cxrjax: {sentence}", sys.stderr)


def print_lines(table: str) -> None:
    """Print several lines on standard output, escaped except for the line breaks."""
    print(escape(table, allowed="\n"), flush=True)


def silence_xla() -> None:
    """Keep XLA's alarm "Very slow compile?" and its hints off standard error; to be called before JAX is imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def guard_streams() -> None:
    """Make standard output and error safe to write to, for the rest of the process.

    A closed stream becomes the null device, so that no file opened later gets its descriptor. A stream whose reader
    closes (a broken pipe) discards further output. Characters that its encoding cannot represent are escaped.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:  # closed; open returns the lowest free descriptor
            os.open(os.devnull, os.O_RDWR)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(descriptor, "w", closefd=False)  # noqa: SIM115  for the rest of the process
        if isinstance(stream, io.TextIOWrapper):
            setattr(sys, name, _Guarded(stream))


class _Guarded(io.TextIOWrapper):
    """A line-buffered writer to another stream's buffer, which survives a broken pipe."""

    def __init__(self, stream: io.TextIOWrapper):
        stream.flush()
        super().__init__(stream.buffer, stream.encoding, errors="backslashreplace", line_buffering=True)
        self._stream = stream  # keeps a reference: it would close the buffer, and log handlers may use it

    def write(self, text: str) -> int:
        with self._ignoring_closed_reader():
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with self._ignoring_closed_reader():
            super().flush()

    @contextlib.contextmanager
    def _ignoring_closed_reader(self):
        try:
            yield
        except OSError as error:
            # Flushing the rest of the buffer would fail again at the end of the process.
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            if not isinstance(error, BrokenPipeError) and error.errno != errno.EIO:  # EIO: the terminal was closed
                raise


def _escape_character(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte, by surrogateescape
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape", "backslashreplace").decode()
