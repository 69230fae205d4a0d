"""A radiograph's file and its masks to the one example form."""

import numpy as np

from cxrjax.io import jpeg_segments, limits, radiograph, reader
from cxrjax.io.errors import ImageDecodeError
from cxrjax.io.pixel_format import read_pixel_format
from cxrjax.io.radiograph import Radiograph
from data_prep.example import Example, encode_png
from data_prep.masks import read_masks
from data_prep.record import Record, RecordError


def read_example(row: Record) -> Example:
    """Reads one radiograph; of its file, the pixels are kept and the header is not, see `Example`.

    Raises:
        RecordError: it is missing, unreadable, or at odds with its mask.
    """
    try:
        data = reader.read_bytes(row.file, limits.current())
        found = radiograph.decode(data, row.id)
    except (ImageDecodeError, radiograph.ImageReadError) as error:
        raise RecordError(error.reason) from error
    mask, kind = b"", ""
    if row.masks:
        labels, kind = read_masks(row.masks, row.mask_kind, found.pixels.shape)
        mask = encode_png(labels)
    form = read_pixel_format(data, found.format)
    return Example(
        id=row.id,
        path=row.id,
        image=encode_image(data, found),
        height=found.pixels.shape[0],
        width=found.pixels.shape[1],
        label=row.label,
        upstream_label=row.upstream_label,
        patient_id=row.patient_id,
        source=row.source,
        view=row.view or found.view,
        sex=row.sex,
        age=row.age,
        spacing=found.spacing or row.spacing,
        mask=mask,
        mask_kind=kind,
        licence=row.licence,
        format=found.format,
        bits=form.bits,
        color=form.color,
        inverted=found.inverted,
    )


def encode_image(data: bytes, found: Radiograph) -> bytes:
    """Returns the pixels of a file without its header: a file that decodes to the same pixels.

    Args:
        data: content of the file.
        found: what it decodes to.

    Returns:
        A JPEG file's compressed data, where it decodes to the same without its header (it does not where EXIF turns the
        picture); else PNG.
    """
    if found.format == "jpeg":
        try:
            stripped = jpeg_segments.strip(data)
            if np.array_equal(radiograph.decode(stripped, found.path).pixels, found.pixels):
                return stripped
        except (jpeg_segments.JpegStructureError, radiograph.ImageReadError):
            pass  # decoders forgive more than the standard allows
    return encode_png(found.pixels)
