"""Text of files and libraries, made fit to be printed as one line of an error message."""

from cxrjax.runtime.terminal import escape

LONGEST = 4000  # characters of a whole message
SHORT = 100  # characters of a name that a file gives


def printable(text: object, longest: int = LONGEST) -> str:
    r"""Return a text as one line that is safe to print, of bounded length.

    Args:
        text: anything; only its beginning is looked at where it is very long.
        longest: characters of the result, at most; what is left out is replaced by "…".

    Returns:
        The text, escaped as by `terminal.escape`.
    """
    text = str(text)
    line = escape(text[: longest + 1])
    return line if len(line) <= longest and len(text) <= longest else f"{line[: longest - 1]}…"


def enumerate_names(names: list[str], most: int) -> str:
    """Return names joined by commas, each shortened; of more than `most`, the first and the number of the others."""
    text = ", ".join(printable(name, SHORT) for name in names[:most])
    return text if len(names) <= most else f"{text} and {len(names) - most} more"
