"""UIDs that are derived from others, the same in every process (PS3.5 B.2: 2.25 and the number of a UUID)."""

import hashlib
import uuid


def derive(*parts: str) -> str:
    """Return the UID of a text in several parts."""
    return f"2.25.{uuid.UUID(bytes=bytes.fromhex(digest(*parts))[:16], version=5).int}"


def replace(uid: str) -> str:
    """Return the UID that stands for another one in deidentified results.

    Whoever knows a UID can compute the one that replaces it; the reverse needs a search of all possible UIDs.
    """
    return derive("replaced", uid)


def digest(*parts: str) -> str:
    """Return the SHA-256 of a text in several parts, in hexadecimal digits."""
    return hashlib.sha256("\n".join(("cxrjax", *parts)).encode()).hexdigest()
