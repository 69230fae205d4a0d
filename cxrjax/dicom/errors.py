"""Error of DICOM results."""

from cxrjax.runtime.errors import CxrjaxError


class DicomResultError(CxrjaxError):
    """A radiograph for which no DICOM objects can be made; `reason` quotes nothing from its header."""

    def __init__(self, reason: str, name: str = ""):
        """Initialize; `name` is that of the file."""
        super().__init__(reason, name)
        self.reason = reason
        self.name = name

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}" if self.name else self.reason
