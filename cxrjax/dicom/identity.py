"""Identity of the results of a prediction: UIDs, equipment and algorithm."""

from typing import Any, NamedTuple

from cxrjax.dicom import uids
from cxrjax.io.projection import OWN_MODEL

PURPOSE = "research, not for diagnosis"


class Identity(NamedTuple):
    """Identity that the results of one prediction share.

    Attributes:
        key: checksum of source, model and settings.
        version: of the software.
        weights_sha256: of the model.
        purpose: of the software.
    """

    key: str
    version: str
    weights_sha256: str
    purpose: str = PURPOSE

    def uid(self, *kind: str) -> str:
        """Return the UID of a part of the results."""
        return uids.derive(self.key, *kind)

    @property
    def device_uid(self) -> str:
        """The UID of the software with these weights."""
        return uids.derive("device", self.version, self.weights_sha256)

    def equipment(self, kind: str, *, number: int) -> dict[str, Any]:
        """Return the arguments that the constructors of all objects share.

        Args:
            kind: of the object.
            number: of its series, which holds it alone.
        """
        return {
            "series_instance_uid": self.uid(kind, "series"),
            "series_number": number,
            "sop_instance_uid": self.uid(kind),
            "instance_number": 1,
            "manufacturer": "cxrjax",
            "manufacturer_model_name": OWN_MODEL,
            "software_versions": self.version,
            "device_serial_number": self.weights_sha256,
            "series_description": f"cxrjax {kind} ({self.purpose})",
        }
