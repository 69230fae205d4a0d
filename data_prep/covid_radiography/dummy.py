"""The COVID-19 Radiography Database in the small."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_prep.collections.fixtures import draw_image, draw_lung_mask, save_image

_SHAPE, _MASK = (299, 299), (256, 256)
_COUNTS = {"COVID": 3, "Lung_Opacity": 2, "Normal": 3, "Viral Pneumonia": 2}
_NAMESPACE = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def write(folder: Path) -> None:
    """Ten images in four classes with masks, but for COVID-3."""
    top = folder / "COVID-19_Radiography_Dataset"
    lungs = np.stack([255 * (draw_lung_mask("left", _MASK) | draw_lung_mask("right", _MASK))] * 3, axis=-1)
    for label, count in _COUNTS.items():
        names = [f"{label}-{number}" for number in range(1, count + 1)]
        for name in names:
            save_image(top / label / "images" / f"{name}.png", draw_image(name, _SHAPE))
            if name != "COVID-3":
                save_image(top / label / "masks" / f"{name}.png", lungs)
        urls = [f"https://sirm.org/category/{name.lower()}" for name in names]
        rows = [(name, "PNG", "256*256", url) for name, url in zip(names, urls, strict=True)]
        write_xlsx(top / f"{label}.metadata.xlsx", [("FILE NAME", "FORMAT", "SIZE", "URL"), *rows])


def write_xlsx(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """The least Excel file with a sheet of these texts; the first column goes through the table of shared strings."""
    shared = "".join(f"<si><t>{row[0]}</t></si>" for row in rows)
    lines = ""
    for number, row in enumerate(rows, start=1):
        cells = f'<c r="A{number}" t="s"><v>{number - 1}</v></c>'
        for column, text in zip("BCDEFG", row[1:], strict=False):
            cells += f'<c r="{column}{number}" t="inlineStr"><is><t>{text}</t></is></c>'
        lines += f'<row r="{number}">{cells}</row>'
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as book:
        book.writestr("xl/sharedStrings.xml", f'<sst xmlns="{_NAMESPACE}">{shared}</sst>')
        sheet = f'<worksheet xmlns="{_NAMESPACE}"><sheetData>{lines}</sheetData></worksheet>'
        book.writestr("xl/worksheets/sheet1.xml", sheet)
