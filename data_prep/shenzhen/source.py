"""The Shenzhen Hospital set: radiographs of outpatients, with separately published lung masks for most."""

from pathlib import Path

from data_prep.collections.nlm import CITATION, TuberculosisSet
from data_prep.record import LUNG_FIELD
from data_prep.source import RemoteFile


class Shenzhen(TuberculosisSet):
    """Radiographs with the masks of Stirenko et al. 2018 from `mask/`, beside upstream's folder or inside it."""

    name = "shenzhen"
    description = "Shenzhen Hospital chest X-ray set (NLM): tuberculosis and normal, lung masks for most"
    homepage = (
        "https://openi.nlm.nih.gov/imgs/collections/ChinaSet_AllFiles.zip; the masks from "
        "https://www.kaggle.com/datasets/yoctoman/shcxr-lung-mask, unpacked beside it"
    )
    size = "about 3.6 GB"
    coverage = "662 radiographs: 326 normal, 336 with tuberculosis; 566 have a published mask"
    citation = f"""{CITATION}

@inproceedings{{stirenko2018chest,
  title = {{Chest X-ray analysis of tuberculosis by deep learning with segmentation and augmentation}},
  author = {{Stirenko, Sergii and Kochura, Yuriy and Alienin, Oleg and others}},
  booktitle = {{IEEE International Conference on Electronics and Nanotechnology}},
  pages = {{422--428}},
  year = {{2018}},
}}"""
    files = (RemoteFile("https://openi.nlm.nih.gov/imgs/collections/ChinaSet_AllFiles.zip", "", "."),)
    prefix = "CHNCXR"

    def find_masks(self, folders: tuple[Path, Path], name: str) -> dict[str, Path]:
        paths = [folder / masks / f"{name}_mask.png" for folder in folders for masks in ("mask", "mask/mask")]
        return next(({LUNG_FIELD: path} for path in paths if path.is_file()), {})


SOURCE = Shenzhen()
