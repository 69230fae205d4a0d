"""Valid files for each fuzz target, from which mutation starts: `write(NAME, folder)`."""

import csv
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pydicom
import safetensors.numpy
from pydicom.uid import RLELossless

from cxrjax.config import recipes
from cxrjax.io import predictions_csv
from data_prep.example import features
from tests.data_prep.fixtures.covid_radiography import write_xlsx
from tests.fuzz.targets import MASK_SHAPE
from tests.helpers.image_files import draw_image, draw_lung_mask, save_dicom, save_image

WEIGHTS = {"conv.weight": np.ones((2, 1, 3, 3), np.float32), "conv.bias": np.zeros(2, np.float32)}


def write(name: str, folder: Path) -> None:
    """Write the valid files of one target into a folder that exists."""
    _WRITERS[name](folder)


def _write_pictures(folder: Path) -> None:
    for suffix in (".png", ".jpg", ".tif", ".webp", ".bmp"):
        save_image(folder / f"gray8{suffix}", draw_image("gray"))
    deep = draw_image("deep").astype(np.uint16) * 257
    np.save(folder / "gray16.npy", deep)
    np.save(folder / "share.npy", deep / 65535)
    save_image(folder / "gray16.png", deep)
    save_image(folder / "gray16.tif", deep)
    save_image(
        folder / "color.png",
        np.stack([draw_image("blue"), draw_image("green"), draw_image("red"), draw_image("alpha")], axis=-1),
    )


def _write_sources(folder: Path) -> None:
    uids = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.4"}
    patient = {
        "PatientName": "Doe^Jane=Ideo^Graphic",
        "PatientID": "17",
        "PatientBirthDate": "19500101",
        "StudyTime": "0815",
    }
    save_dicom(folder / "plain.dcm", **uids)
    save_dicom(folder / "patient.dcm", **uids, **patient, PatientOrientation=["R", "F"], PixelSpacing=[0.2, 0.1])


def _write_dicoms(folder: Path) -> None:
    save_dicom(folder / "plain.dcm")
    save_dicom(folder / "windowed.dcm", WindowCenter=100, WindowWidth=50, PixelSpacing=[0.2, 0.2], RescaleSlope=1)
    save_dicom(folder / "inverted.dcm", PhotometricInterpretation="MONOCHROME1", ViewPosition="PA")
    save_dicom(folder / "rle.dcm")
    dataset = pydicom.dcmread(folder / "rle.dcm")
    dataset.compress(RLELossless)
    dataset.save_as(folder / "rle.dcm")


def _write_masks(folder: Path) -> None:
    save_image(folder / "lungs.png", 255 * draw_lung_mask("left", MASK_SHAPE))
    save_image(folder / "structures.png", draw_lung_mask("left", MASK_SHAPE) + 2 * draw_lung_mask("right", MASK_SHAPE))


def _write_pth(folder: Path) -> None:
    """Write PyTorch's format by hand: a zip file of a pickle that names a storage, and the storage."""
    pickled = (
        b"\x80\x02}q\x00X\x01\x00\x00\x00wq\x01ctorch._utils\n_rebuild_tensor_v2\nq\x02((X\x07\x00\x00\x00storageq\x03"
        b"ctorch\nFloatStorage\nq\x04X\x01\x00\x00\x000q\x05X\x03\x00\x00\x00cpuq\x06K\x04tq\x07QK\x00K\x02K\x02"
        b"\x86q\x08K\x02K\x01\x86q\t\x89ccollections\nOrderedDict\nq\n)Rq\x0btq\x0cRq\rs."
    )
    with zipfile.ZipFile(folder / "small.pth", "w") as archive:
        archive.writestr("small/data.pkl", pickled)
        archive.writestr("small/data/0", np.arange(4, dtype=np.float32).tobytes())
        archive.writestr("small/byteorder", "little")
        archive.writestr("small/version", "3\n")


def _write_safetensors(folder: Path) -> None:
    (folder / "small.safetensors").write_bytes(safetensors.numpy.save(WEIGHTS, {"classes": '["a", "b"]'}))


def _write_h5(folder: Path) -> None:
    with h5py.File(folder / "small.h5", "w") as file:
        file.attrs["layer_names"] = [b"conv"]
        layer = file.create_group("conv")
        layer.attrs["weight_names"] = [b"conv/kernel:0", b"conv/bias:0"]
        layer["conv/kernel:0"] = np.ones((3, 3, 1, 2), np.float32)
        layer["conv/bias:0"] = np.zeros(2, np.float32)


def _write_table(folder: Path) -> None:
    rows = [
        ("path", "label", "patient_id", "split"),
        ("a.png", "normal", "1", "train"),
        ("b.png", "covid19", "2", "test"),
    ]
    _write_csv(folder / "table.csv", rows)


def _write_sheet(folder: Path) -> None:
    write_xlsx(folder / "sheet.xlsx", [("FILE NAME", "URL"), ("COVID-1", "https://example.org"), ("COVID-2", "")])


def _write_splits(folder: Path) -> None:
    _write_csv(folder / "splits.csv", [("id", "patient_id", "split"), ("a", "1", "train"), ("b", "2", "test")])


def _write_archives(folder: Path) -> None:
    with zipfile.ZipFile(folder / "two.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/one.txt", "one" * 100)
        archive.writestr("b.txt", "two")


def _write_lesions(folder: Path) -> None:
    _write_csv(folder / "boxes.csv", [("path", "row", "column", "height", "width"), ("a.png", 1, 2, 3, 4)])
    _write_csv(folder / "masks.csv", [("path", "mask"), ("a.png", "lesion.png")])


def _write_predictions(folder: Path) -> None:
    row = {"path": "a.png", "status": "ok", "label": "normal", "votes_normal": 3, "probability_normal": 0.75}
    columns = predictions_csv.classification_columns(["normal", "covid19"])
    predictions_csv.write(folder / "predictions.csv", [row], columns)


def _write_configs(folder: Path) -> None:
    (folder / "config.json").write_text(recipes.load("phantom:segment").to_json())


def _write_features(folder: Path) -> None:
    features().save_config(str(folder))


def _write_csv(path: Path, rows: list[tuple]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8")


_WRITERS: dict[str, Callable[[Path], None]] = {
    "picture": _write_pictures,
    "dicom": _write_dicoms,
    "dicom_source": _write_sources,
    "mask": _write_masks,
    "pth": _write_pth,
    "safetensors": _write_safetensors,
    "h5": _write_h5,
    "table": _write_table,
    "sheet": _write_sheet,
    "splits": _write_splits,
    "archive": _write_archives,
    "lesions": _write_lesions,
    "predictions": _write_predictions,
    "config": _write_configs,
    "features": _write_features,
}
NAMES = sorted(_WRITERS)
