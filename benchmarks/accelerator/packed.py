"""Load the real radiographs that `pack` copied, or noise if there are none."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from benchmarks import synthetic
from benchmarks.accelerator.sizes import Sizes
from benchmarks.runner import ROOT
from cxrjax.config import LABELS, default_config
from cxrjax.data import dataset, tfds_store
from cxrjax.runtime.cores import count_cores
from data_prep.options import Options

PACK = ROOT / ".pack"  # ignored by git, and carried to the machine
NUM_NOISE = 4  # radiographs of noise, at tiny sizes


def is_packed(sizes: Sizes) -> bool:
    """Return whether real radiographs are used instead of noise."""
    return not sizes.tiny and (PACK / "data" / "findings").is_dir()


def locate_findings(folder: Path, sizes: Sizes) -> tuple[Path, tuple[str, ...]]:
    """Return the folder and the classes of the data set with findings, or of noise, written to FOLDER/data once."""
    if is_packed(sizes):
        return PACK / "data" / "findings", LABELS
    stored = folder / "data" / "noise"
    if not stored.is_dir():
        synthetic.write_data_set(folder / "data", NUM_NOISE if sizes.tiny else 64, sizes.image)
    return stored, synthetic.CLASSES


def read_files(sizes: Sizes) -> Iterator[tuple[str, bytes]]:
    """Yield the path and the content of each file of the data set with findings."""
    if not is_packed(sizes):
        source = synthetic.Noise(NUM_NOISE, sizes.image)
        for record in source.records(Path(), Options()):
            yield f"{record.id}.png", source.read(record, Options()).image
        return
    directory = str(PACK / "data" / "findings")
    for split in tfds_store.list_splits(directory):
        for example in tfds_store.iter_records(directory, split):
            yield example["path"], bytes(example["image"])


def num_reader_threads() -> int:
    """Return the number of threads by which a training reads radiographs: the cores but two, from 2 to 12."""
    return max(2, min(12, count_cores() - 2))


def load_images(count: int, sizes: Sizes) -> np.ndarray:
    """Load `count` evenly spaced standardized radiographs of the test split, uint8 [n, S, S]; or draw noise."""
    if not is_packed(sizes):
        return synthetic.draw_split(NUM_NOISE, sizes.image).images
    config: ConfigDict = default_config()
    config.data.dir = str(PACK / "data" / "findings")
    config.image.size = sizes.image
    stored = dataset.open_split(config, "test")
    return stored.select(np.linspace(0, len(stored) - 1, count).astype(int)).images
