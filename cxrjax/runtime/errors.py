"""Base of the errors that this package raises."""


class CxrjaxError(Exception):
    """An error that a user can fix; the message is one sentence with the file, the reason and what to do."""
