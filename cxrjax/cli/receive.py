"""Command of --mode=receive: its flags to the settings of a receiver."""

from pathlib import Path
from typing import TYPE_CHECKING

import cxrjax as cx
from cxrjax.cli import commands
from cxrjax.cli.commands import Request
from cxrjax.receive import nodes
from cxrjax.runtime import hosts

if TYPE_CHECKING:
    from cxrjax.receive.receiver import Settings

_PORT = 11112  # registered for DICOM, and open to processes of any user
_PACKAGES = ("highdicom", "pynetdicom")  # of cxrjax[dicom]
_MODE = "receive"


def check_flags(request: Request) -> None:
    """Raise a ValueError if the receiver's flags are invalid, or say too little of who may send."""
    title = nodes.parse_title(request.aet, "--aet")
    destination = nodes.parse_node(request.send_to, "--send_to") if request.send_to else None
    if not request.allow_aet and not destination:
        raise ValueError(f"--mode={_MODE} needs --allow_aet=AET,…, the nodes that may send, or --send_to=AET@HOST:PORT")
    nodes.parse_senders(request.allow_aet, request.allow_address)
    if not hosts.is_loopback(request.host) and not request.allow_address:
        raise ValueError(f"--host={request.host} is reached by other machines: name those by --allow_address=ADDRESS,…")
    if destination and destination.title == title:
        raise ValueError(f"--send_to={request.send_to} has the AE title of the receiver itself")


def check_packages(request: Request) -> None:
    """Raise a ValueError if a package that --mode=receive needs is not installed."""
    commands.require_packages(f"--mode={_MODE}", _PACKAGES, "dicom")


def receive_radiographs(request: Request) -> None:
    """Receive radiographs from a PACS by DICOM, and send the results back, until a signal ends the process."""
    from cxrjax.receive import receiver

    model = cx.load(request.workdir, calibrated=request.calibrated)
    receiver.receive(model, _read_settings(request))


def _read_settings(request: Request) -> "Settings":
    from cxrjax.receive.receiver import Settings

    destination = nodes.parse_node(request.send_to, "--send_to") if request.send_to else None
    titles = request.allow_aet or [destination.title if destination else ""]
    return Settings(
        folder=Path(request.output),
        title=nodes.parse_title(request.aet, "--aet"),
        host=request.host,
        port=_PORT if request.port is None else request.port,
        senders=nodes.parse_senders(titles, request.allow_address or nodes.LOOPBACK),
        destination=destination,
        reject_ood=request.reject_ood,
        if_inverted=request.if_inverted,
    )
