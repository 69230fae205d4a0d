"""A data set of phantoms, reproducible from a seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cxrjax.config import LABELS
from data_prep.example import Example
from data_prep.options import Options, option
from data_prep.phantom.contact_sheet import draw_sheet
from data_prep.phantom.draw import MIN_SIZE, Phantom, draw
from data_prep.phantom.example import LICENSE, make_example
from data_prep.phantom.overlays import add_corner_marker
from data_prep.phantom.planted import (
    BROKEN,
    FEATURES,
    PLANTED_LABEL,
    add_features,
    choose_features,
    draw_options,
    parse,
)
from data_prep.record import PreparationError, Record
from data_prep.source import Source

SHORTCUTS = ("none", "marker", "source")
SHORTCUT_LABEL = PLANTED_LABEL


@dataclass(frozen=True)
class PhantomOptions(Options):
    """Options of `PhantomSource`.

    Attributes:
        count: radiographs per class.
        size: side in pixels.
        shortcut: feature that reveals `SHORTCUT_LABEL` without its lesions: one of `SHORTCUTS`.
        planted: features that go with `SHORTCUT_LABEL` and their strengths, see `parse`; "" for none.
        broken: radiographs per class of the split `BROKEN`; 0 for a fifth of `count`.
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
    planted: str = option(
        "",
        f"features that go with {SHORTCUT_LABEL}: {', '.join(FEATURES)}, each with a strength from 0.5 "
        "(says nothing) to 1 (reveals the class), as texture=0.95,marker=0.8",
        metavar="FEATURE=STRENGTH,...",
    )
    broken: int = option(
        0,
        f"radiographs per class of a further split, {BROKEN}, in which planted features say nothing of the "
        "class (default: a fifth of --count)",
        metavar="N",
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

    is_drawn = True
    options_type = PhantomOptions

    def settings(self, options: PhantomOptions) -> dict[str, Any]:
        shortcut = {} if options.shortcut == "none" else {"shortcut": options.shortcut}
        planting = {"planted": options.planted, "broken": _broken_count(options)} if options.planted else {}
        return {"size": options.size} | shortcut | planting

    def default_dir(self, options: PhantomOptions) -> Path:
        return Path()

    def records(self, root: Path, options: PhantomOptions) -> Iterator[Record]:
        _check_options(options)
        for label in LABELS:
            for number in range(options.count + _broken_count(options)):
                is_broken = number >= options.count
                features = _choose_features(label, number, options)
                elsewhere = ("elsewhere",) if has_shortcut(label, options, "source") else ()
                name = f"{label}/{number:05d}"
                yield Record(
                    name,
                    label=label,
                    source="_".join((self.name, *elsewhere, *features)),
                    patient_id=f"phantom-{label}-{number:05d}",
                    split=BROKEN if is_broken else "",
                    payload=(label, number, features),
                )

    def read(self, record: Record, options: PhantomOptions) -> Example:
        label, number, features = record.payload
        strengths = parse(options.planted)
        phantom = make_phantom(label, number, options.seed, options.size, **draw_options(features, strengths))
        planted_rng = np.random.default_rng([options.seed, number, LABELS.index(label), 1])
        pixels = add_features(phantom.pixels, features, planted_rng)
        if has_shortcut(label, options, "marker"):
            pixels = add_corner_marker(pixels)
        phantom = phantom._replace(pixels=pixels)
        return make_example(record, phantom, label)

    def run_extra(self, options: PhantomOptions) -> str | None:
        if not options.sheet:
            return None
        _check_options(options)
        file = Path(options.sheet)
        if file.suffix.lower() != ".png" or not file.absolute().parent.is_dir():
            raise PreparationError(f"--sheet={file}: a .png file in a folder that exists is needed")
        draw_sheet(file, lambda label, number: make_phantom(label, number, options.seed, options.size))
        return f"drew {file}"


def make_phantom(label: str, number: int, seed: int, size: int, is_child: bool | None = None) -> Phantom:
    """Draw the phantom `number` of a class in the data set of a seed; `is_child` is that of `draw`."""
    return draw(label, np.random.default_rng([seed, number, LABELS.index(label)]), size, is_child)


def has_shortcut(label: str, options: PhantomOptions, shortcut: str) -> bool:
    """Return whether the options add this shortcut to the class."""
    return options.shortcut == shortcut and label == SHORTCUT_LABEL


def _broken_count(options: PhantomOptions) -> int:
    """Return the number of radiographs per class of the split `BROKEN`; 0 where nothing is planted."""
    return (options.broken or max(2, options.count // 5)) if options.planted else 0


def _choose_features(label: str, number: int, options: PhantomOptions) -> tuple[str, ...]:
    strengths = parse(options.planted)
    if number < options.count:
        return choose_features(label, number, options.count, options.seed, strengths)
    broken = dict.fromkeys(strengths, 0.5)
    return choose_features(label, number - options.count, _broken_count(options), options.seed, broken)


def _check_options(options: PhantomOptions) -> None:
    if options.count < 1:
        raise PreparationError(f"--count={options.count}: at least one radiograph per class is needed")
    parse(options.planted)
    if options.broken < 0 or (options.broken and not options.planted):
        raise PreparationError(f"--broken={options.broken}: a number of radiographs is needed, and a --planted feature")
    if options.size < MIN_SIZE:
        raise PreparationError(f"--size={options.size}: at least {MIN_SIZE} pixels are needed")


SOURCE = PhantomSource()
