"""UIDs that are derived from others, the same in every process (PS3.5 B.2: 2.25 and the number of a UUID)."""

import hashlib
import hmac
import uuid


def derive(*parts: str, secret: bytes = b"") -> str:
    """Return the UID of a text in several parts, see `digest`."""
    return f"2.25.{uuid.UUID(bytes=bytes.fromhex(digest(*parts, secret=secret))[:16], version=5).int}"


def digest(*parts: str, secret: bytes = b"") -> str:
    """Return the HMAC-SHA256 of a text in several parts, in hexadecimal digits.

    Args:
        parts: the text.
        secret: without it, nobody can compute the result from the text.
    """
    return hmac.digest(b"cxrjax" + secret, "\n".join(parts).encode(), hashlib.sha256).hex()
