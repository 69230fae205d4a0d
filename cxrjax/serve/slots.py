"""Admission of requests: a bounded number at once, with a bounded number of bytes together."""


class Slots:
    """Slots that requests claim before their body is read. Used by the event loop alone, hence without a lock."""

    def __init__(self, max_count: int, max_bytes: int):
        """Initialize.

        Args:
            max_count: requests at once.
            max_bytes: bytes of all their bodies together.
        """
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._count = 0
        self._bytes = 0

    def claim(self, num_bytes: int = 0) -> bool:
        """Claim a slot; False if none is free or the bytes do not fit."""
        if self._count >= self._max_count or self._bytes + num_bytes > self._max_bytes:
            return False
        self._count += 1
        self._bytes += num_bytes
        return True

    def release(self, num_bytes: int = 0) -> None:
        """Release a slot that was claimed for as many bytes."""
        self._count -= 1
        self._bytes -= num_bytes
