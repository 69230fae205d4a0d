"""The COVID-19 image data collection: radiographs and CT slices from papers and hospitals.

The newest `metadata.csv` writes a finding as a path, older ones as words; both are read. Lung masks are those of V7
Labs, `lung_masks_v7/STEM.png`, which include the part of the lungs behind the heart; otherwise upstream's own,
`annotations/lungVAE-masks/STEM_mask.png`, which a network predicted.

With --findings the labels are upstream's tree of findings, several per radiograph, see `collections.ieee8023_findings`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data_prep.collections import ieee8023_findings
from data_prep.collections.ieee8023_labels import METADATA
from data_prep.collections.locate import find_root
from data_prep.collections.metadata_csv import MetadataCsvSource
from data_prep.collections.spreadsheet import read_csv
from data_prep.options import Options, option
from data_prep.record import LUNG_FIELD, Record, SkippedRecord
from data_prep.source import RemoteFile


@dataclass(frozen=True)
class CovidChestXrayOptions(Options):
    """Options of `CovidChestXray`.

    Attributes:
        findings: whether the labels are upstream's tree of findings, with the parents of each.
    """

    findings: bool = option(
        False, "several findings per radiograph, with the parents of each: Pneumonia, Viral, COVID-19"
    )


class CovidChestXray(MetadataCsvSource):
    """The frontal radiographs whose view and finding are stated."""

    name = "covid_chestxray"
    description = "COVID-19 image data collection (ieee8023): COVID-19 and other pneumonias, from papers and hospitals"
    homepage = "https://github.com/ieee8023/covid-chestxray-dataset"
    license = "different for each image, see metadata.csv: nearly half CC BY-NC-SA, a third not stated"
    size = "about 0.6 GB"
    coverage = "the frontal radiographs with a finding among about 950 images (no CT, lateral or unstated view)"
    citation = """@article{cohen2020covid,
  title = {COVID-19 Image Data Collection: Prospective Predictions Are the Future},
  author = {Joseph Paul Cohen and Paul Morrison and Lan Dao and Karsten Roth and Tim Q Duong and Marzyeh Ghassemi},
  journal = {arXiv:2006.11988},
  year = {2020},
}"""
    files = (RemoteFile(f"{homepage}/archive/refs/heads/master.zip", "", "."),)

    options_type = CovidChestXrayOptions
    columns = ("folder", "filename")

    def settings(self, options: Options) -> dict[str, Any]:
        return {"findings": True} if self.has_findings(options) else {}

    def has_findings(self, options: Options) -> bool:
        return isinstance(options, CovidChestXrayOptions) and options.findings

    def records(self, root: Path, options: Options) -> Iterator[Record | SkippedRecord]:
        records = super().records(root, options)
        if not self.has_findings(options):
            yield from records
            return
        rows = read_csv(find_root(root, METADATA) / METADATA, "finding")
        parents = ieee8023_findings.find_parents(self.read_finding(fields) for fields in rows)
        for record in records:
            if isinstance(record, SkippedRecord):
                yield record
                continue
            found = ieee8023_findings.read_findings(record.upstream_label, parents)
            yield replace(record, label="", findings=found)

    def image_path(self, folder: Path, fields: dict[str, str]) -> str:
        return f"{fields['folder']}/{fields['filename']}"

    def patient_id(self, patient: str) -> str:
        return f"ieee8023-{patient}"  # letters ("311a", "311b") distinguish patients of one paper

    def find_masks(self, folder: Path, name: str) -> dict[str, Path]:
        stem = Path(name).stem
        masks = (folder / f"lung_masks_v7/{stem}.png", folder / f"annotations/lungVAE-masks/{stem}_mask.png")
        return next(({LUNG_FIELD: path} for path in masks if path.is_file()), {})


SOURCE = CovidChestXray()
