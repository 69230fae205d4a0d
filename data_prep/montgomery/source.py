"""The Montgomery County set: radiographs of a tuberculosis screening, with masks of either lung."""

from pathlib import Path

from data_prep.collections.nlm import TuberculosisSet
from data_prep.record import LEFT_LUNG, RIGHT_LUNG
from data_prep.source import RemoteFile


class Montgomery(TuberculosisSet):
    """Radiographs whose left and right masks are united; the masks exclude the part behind the heart."""

    name = "montgomery"
    description = "Montgomery County chest X-ray set (NLM): tuberculosis screening in Maryland, with lung masks"
    homepage = "https://openi.nlm.nih.gov/imgs/collections/NLM-MontgomeryCXRSet.zip"
    size = "about 0.6 GB"
    coverage = "138 radiographs: 80 normal, 58 with tuberculosis; all have lung masks, sex and age"
    files = (RemoteFile(homepage, "", "."),)
    prefix = "MCUCXR"
    spacing = (0.0875, 0.0875)  # upstream's ReadMe

    def find_masks(self, folders: tuple[Path, Path], name: str) -> dict[str, Path]:
        masks = folders[0] / "ManualMask"
        if not masks.is_dir():
            return {}
        return {LEFT_LUNG: masks / "leftMask" / f"{name}.png", RIGHT_LUNG: masks / "rightMask" / f"{name}.png"}


SOURCE = Montgomery()
