"""A data set of phantoms, reproducible from a seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cxrjax.config import LABELS
from data_prep.example import STRUCTURES, Example, encode_png
from data_prep.options import Options, option
from data_prep.phantom.contact_sheet import draw_sheet
from data_prep.phantom.draw import MIN_SIZE, Phantom, draw
from data_prep.phantom.overlays import add_corner_marker
from data_prep.record import PreparationError, Record
from data_prep.source import Source

LICENSE = "CC0-1.0"
SHORTCUTS = ("none", "marker", "source")
SHORTCUT_LABEL = "covid19"  # the class with the shortcut, because published collections of COVID-19 have shortcuts


@dataclass(frozen=True)
class PhantomOptions(Options):
    """Options of `PhantomSource`.

    Attributes:
        count: radiographs per class.
        size: side in pixels.
        shortcut: feature that reveals `SHORTCUT_LABEL` without its lesions: one of `SHORTCUTS`.
        sheet: PNG file of a contact sheet to draw instead of a data set; "" for none.
    """

    count: int = option(100, "radiographs per class (default: 100)")
    size: int = option(512, "side in pixels (default: 512)")
    shortcut: str = option(
        "none",
        f"feature that reveals {SHORTCUT_LABEL} without its lesions: a marker in the corner, a separate source, or "
        "none (default: none)",
        choices=SHORTCUTS,
    )
    sheet: str = option("", "draw a contact sheet of examples and exit", metavar="FILE.png")


class PhantomSource(Source[PhantomOptions]):
    """Synthetic radiographs, the same number for each class, each of a different patient."""

    name = "phantom"
    description = "synthetic radiographs with known anatomy and lesions"
    homepage = "drawn by data_prep"
    license = LICENSE
    size = "nothing to download"
    coverage = "--count radiographs for each of five classes"

    options_type = PhantomOptions

    def settings(self, options: PhantomOptions) -> dict[str, Any]:
        shortcut = {} if options.shortcut == "none" else {"shortcut": options.shortcut}
        return {"size": options.size} | shortcut

    def default_dir(self, options: PhantomOptions) -> Path:
        return Path()

    def records(self, root: Path, options: PhantomOptions) -> Iterator[Record]:
        _check_options(options)
        for label in LABELS:
            for number in range(options.count):
                name = f"{label}/{number:05d}"
                yield Record(
                    name,
                    label=label,
                    source=f"{self.name}_elsewhere" if has_shortcut(label, options, "source") else self.name,
                    patient_id=f"phantom-{label}-{number:05d}",
                    payload=(label, number),
                )

    def read(self, record: Record, options: PhantomOptions) -> Example:
        label, number = record.payload
        phantom = make_phantom(label, number, options.seed, options.size)
        if has_shortcut(label, options, "marker"):
            phantom = phantom._replace(pixels=add_corner_marker(phantom.pixels))
        return Example(
            id=record.id,
            path=f"{record.id}.png",
            image=encode_png(phantom.pixels),
            height=options.size,
            width=options.size,
            label=label,
            upstream_label=label,
            patient_id=record.patient_id,
            source=record.source,
            view=phantom.view,
            sex=phantom.sex,
            age=phantom.age,
            spacing=(phantom.spacing, phantom.spacing),
            mask=encode_png(phantom.structures),
            mask_kind=STRUCTURES,
            lesions=encode_png(phantom.lesions),
            license=LICENSE,
        )

    def run_extra(self, options: PhantomOptions) -> str | None:
        if not options.sheet:
            return None
        _check_options(options)
        file = Path(options.sheet)
        if file.suffix.lower() != ".png" or not file.absolute().parent.is_dir():
            raise PreparationError(f"--sheet={file}: a .png file in a folder that exists is needed")
        draw_sheet(file, lambda label, number: make_phantom(label, number, options.seed, options.size))
        return f"drew {file}"


def make_phantom(label: str, number: int, seed: int, size: int) -> Phantom:
    """Draw the phantom `number` of a class in the data set of a seed."""
    return draw(label, np.random.default_rng([seed, number, LABELS.index(label)]), size)


def has_shortcut(label: str, options: PhantomOptions, shortcut: str) -> bool:
    """Return whether the options add this shortcut to the class."""
    return options.shortcut == shortcut and label == SHORTCUT_LABEL


def _check_options(options: PhantomOptions) -> None:
    if options.count < 1:
        raise PreparationError(f"--count={options.count}: at least one radiograph per class is needed")
    if options.size < MIN_SIZE:
        raise PreparationError(f"--size={options.size}: at least {MIN_SIZE} pixels are needed")


SOURCE = PhantomSource()
