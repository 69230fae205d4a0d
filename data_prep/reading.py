"""A radiograph's file and its masks to the one example form."""

from cxrjax import radiograph
from data_prep.example import Example, encode_png
from data_prep.masks import read_masks
from data_prep.row import BadRow, Row


def read_example(row: Row) -> Example:
    """Reads one radiograph; its file is kept byte for byte.

    Raises:
        BadRow: it is missing, unreadable, or at odds with its mask.
    """
    try:
        image = row.file.read_bytes()
        found = radiograph.decode(image, row.id)
    except OSError as error:
        raise BadRow((error.strerror or str(error)).lower()) from error
    except radiograph.UnreadableRadiograph as error:
        raise BadRow(error.reason) from error
    mask, kind = b"", ""
    if row.masks:
        labels, kind = read_masks(row.masks, row.mask_kind, found.pixels.shape)
        mask = encode_png(labels)
    return Example(
        id=row.id,
        path=row.id,
        image=image,
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
    )
