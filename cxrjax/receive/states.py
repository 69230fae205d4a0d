"""States of the radiographs and results of a receiver's queue, and the transitions between them."""

from enum import StrEnum


class RadiographState(StrEnum):
    """State of a radiograph that was accepted."""

    RECEIVED = "received"  # stored, not examined yet
    EXAMINED = "examined"  # its results are stored, and at least one is not sent
    DELIVERED = "delivered"  # every result was sent, and the files are removed
    SET_ASIDE = "set aside"  # stored with the reason why it is not examined
    FAILED = "failed"  # stored with the reason why its examination ended without results


class ResultState(StrEnum):
    """State of a result."""

    WAITING = "waiting"  # stored, to be sent
    SENT = "sent"  # the receiving node has confirmed that it is stored there
    UNDELIVERABLE = "undeliverable"  # refused too often; the next start of the receiver tries again


State = RadiographState | ResultState

TRANSITIONS: dict[State, frozenset[State]] = {
    RadiographState.RECEIVED: frozenset({RadiographState.EXAMINED, RadiographState.SET_ASIDE, RadiographState.FAILED}),
    RadiographState.EXAMINED: frozenset({RadiographState.DELIVERED}),
    RadiographState.DELIVERED: frozenset(),
    RadiographState.SET_ASIDE: frozenset({RadiographState.RECEIVED}),  # the radiograph was sent again
    RadiographState.FAILED: frozenset({RadiographState.RECEIVED}),  # the radiograph was sent again
    ResultState.WAITING: frozenset({ResultState.SENT, ResultState.UNDELIVERABLE}),
    ResultState.SENT: frozenset(),
    ResultState.UNDELIVERABLE: frozenset({ResultState.WAITING}),
}
