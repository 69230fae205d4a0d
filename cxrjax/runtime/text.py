"""Formatting of untrusted text from files and libraries for one line of an error message."""

from cxrjax.runtime.terminal import escape

MAX_LENGTH = 4000  # characters of a message
SHORT_LENGTH = 100  # characters of a name quoted from a file


def printable(text: object, max_length: int = MAX_LENGTH) -> str:
    r"""Return a text as one line that is safe to print, of bounded length.

    Args:
        text: any object; only the beginning of a long text is used.
        max_length: maximum number of characters of the result; a truncated text ends in "…".

    Returns:
        The text, escaped by `terminal.escape`.
    """
    text = str(text)
    line = escape(text[: max_length + 1])
    return line if len(line) <= max_length and len(text) <= max_length else f"{line[: max_length - 1]}…"


def enumerate_names(names: list[str], max_names: int) -> str:
    """Join names by commas, each shortened; after the first `max_names`, only the number of the others is given."""
    text = ", ".join(printable(name, SHORT_LENGTH) for name in names[:max_names])
    return text if len(names) <= max_names else f"{text} and {len(names) - max_names} more"
