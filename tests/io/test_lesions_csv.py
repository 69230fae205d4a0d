"""Tables of lesions: positions of boxes and masks, and errors that name the line."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from cxrjax.data import dataset
from cxrjax.io import lesions_csv


def write(folder, text: str):
    path = folder / "lesions.csv"
    path.write_text(text)
    return path


def test_boxes_of_a_radiograph_are_united(tmp_path):
    table = lesions_csv.read(
        write(tmp_path, "path,row,column,height,width\na.png,1,2,2,3\na.png,0,0,1,1\nb.png,0,0,1,1\n")
    )
    expected = np.zeros((4, 6), bool)
    expected[1:3, 2:5] = expected[0, 0] = True
    np.testing.assert_array_equal(lesions_csv.rasterize(table["a.png"], (4, 6), "a.png"), expected)
    assert (
        lesions_csv.rasterize(table["b.png"], (4, 6), "b.png").sum() == 1
        and not lesions_csv.rasterize([], (4, 6), "c.png").any()
    )


def test_mask_paths_are_relative_to_the_table(tmp_path):
    mask = np.zeros((4, 6), np.uint8)
    mask[2, 1:5] = 7
    cv2.imwrite(str(tmp_path / "m.png"), mask)
    table = lesions_csv.read(write(tmp_path, "path,mask\na.png,m.png\n"))
    np.testing.assert_array_equal(lesions_csv.rasterize(table["a.png"], (4, 6), "a.png"), mask > 0)
    with pytest.raises(ValueError, match=r"m.png: a mask of \(4, 6\) does not fit the radiograph a.png of"):
        lesions_csv.rasterize(table["a.png"], (6, 4), "a.png")
    (tmp_path / "m.png").write_text("")
    with pytest.raises(ValueError, match="m.png: not a readable image"):
        lesions_csv.rasterize(table["a.png"], (4, 6), "a.png")


def test_paths_are_decoded_as_in_predictions_csv(tmp_path):
    """They may have any bytes, and an apostrophe before text that a spreadsheet would run."""
    (tmp_path / "lesions.csv").write_bytes(b"path,row,column,height,width\n'=1.png,0,0,1,1\nR\xf6.png,0,0,2,2\n")
    assert lesions_csv.read(tmp_path / "lesions.csv") == {"=1.png": [(0, 0, 1, 1)], "R\udcf6.png": [(0, 0, 2, 2)]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,row\na,1\n", "lesions.csv: it needs the columns path and mask, or path and row, column"),
        ("path,row,column,height,width\na,1,2,x,1\n", "line 2: its box is '1', '2', 'x', '1', not four whole numbers"),
        (
            f"path,mask\na,{'m' * 140_000}\n",
            "lesions.csv: line 2: is not a line of a CSV file: field larger than field limit",
        ),
        ("path,row,column,height,width\na,1\n", "line 2: its box is '1', '', '', '', not four whole numbers"),
        (
            "path,row,column,height,width\na,1,2,0,1\n",
            r"line 2: the box \(1, 2, 0, 1\) has a negative position or no size",
        ),
    ],
)
def test_invalid_table_error_names_the_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        lesions_csv.read(write(tmp_path, text))


def test_box_beyond_the_radiograph_is_refused():
    with pytest.raises(ValueError, match="a.png: the box .* exceeds its 4 rows and 6 columns"):
        lesions_csv.rasterize([(2, 0, 3, 1)], (4, 6), "a.png")


def test_path_of_two_radiographs_is_refused(monkeypatch):
    """A table has no sources, so that the lesion of "1.png" would be drawn on the radiographs of two sources."""
    picture = SimpleNamespace(pixels=np.zeros((8, 8)))
    table = {"1.png": [(2, 2, 3, 3)]}
    monkeypatch.setattr(dataset.prepared, "decode", lambda example: picture)
    monkeypatch.setattr(dataset.preprocessing, "find_borders", lambda *_: SimpleNamespace(crop=None))
    monkeypatch.setattr(dataset.preprocessing, "standardize_mask", lambda native, *_, size: native)

    def load(*paths):
        monkeypatch.setattr(
            dataset.tfds_store, "open_records", lambda *_: [[{"path": path.encode()} for path in paths]]
        )
        return dataset.load_lesions("DATA", "test", 8, "uniform", table)

    assert load("2.png", "1.png").sum((1, 2)).tolist() == [0, 9]
    with pytest.raises(ValueError, match="DATA: 1.png is several radiographs of test; take it out of the table"):
        load("1.png", "2.png", "1.png")
