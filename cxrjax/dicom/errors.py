"""Error of DICOM results."""

from cxrjax.runtime.errors import CxrjaxError


class DicomResultError(CxrjaxError):
    """A radiograph for which no DICOM objects can be made; the message quotes nothing from its header."""
