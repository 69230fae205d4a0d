"""The radiographs of Oh, Park and Ye (IEEE TMI 2020), as listed in the metadata sheet of their repository.

`radiographs.csv` reproduces the sheet: collection, file, class, and the label of the collection. The sheet has 503 rows
and the paper 502 radiographs: F051E018-DAD1-4506-AD43-BE4CA29E960B.jpeg is listed twice there, in CoronaHack and in
ieee8023's collection, and once here. The paper's table counts 57 of tuberculosis and 180 of COVID-19, the sheet 58 and
179. The split is not published, only its ratios, 0.7, 0.1 and 0.2; here it is drawn by patient.
"""

from collections.abc import Iterator
from pathlib import Path

from data_prep.collections.composite import Composite, Member, rebase
from data_prep.collections.spreadsheet import read_csv
from data_prep.coronahack.source import SOURCE as CORONAHACK
from data_prep.covid_chestxray.source import SOURCE as COVID_CHESTXRAY
from data_prep.jsrt_scr.source import SOURCE as JSRT_SCR
from data_prep.kermany.source import SOURCE as KERMANY
from data_prep.montgomery.source import SOURCE as MONTGOMERY
from data_prep.options import Options
from data_prep.record import Record, SkippedRecord

_LIST = Path(__file__).with_name("radiographs.csv")
_ALTERNATIVES = {"coronahack": ("kermany", "covid_chestxray")}  # collections with the same files


class Oh2020(Composite):
    """Five classes from four collections."""

    name = "oh2020"
    description = "the radiographs of Oh, Park and Ye 2020 (normal, bacterial, tuberculosis, viral, COVID-19)"
    homepage = (
        "its members, side by side in one folder: jsrt_scr, montgomery, coronahack (or kermany) and covid_chestxray, "
        "see their sources"
    )
    coverage = (
        "502 according to the authors' sheet: normal 191, bacterial 54 (12 of them Pneumocystis, a fungus), "
        "tuberculosis 58 (57 in the paper), viral 20 (4 of them ARDS of other causes), covid19 179 (180 in the paper)"
    )
    citation = """@article{oh2020deep,
  author = {Oh, Yujin and Park, Sangjoon and Ye, Jong Chul},
  title = {Deep Learning {COVID-19} Features on {CXR} Using Limited Training Data Sets},
  journal = {IEEE Transactions on Medical Imaging},
  volume = {39},
  number = {8},
  pages = {2688--2700},
  year = {2020},
  doi = {10.1109/TMI.2020.2993291}
}"""
    members = {
        "jsrt_scr": Member(JSRT_SCR, ("JSRT", "jsrt")),
        "montgomery": Member(MONTGOMERY, ("MontgomerySet", "NLM-MontgomeryCXRSet")),
        "coronahack": Member(CORONAHACK, ("coronahack-chest-xraydataset",)),
        "kermany": Member(KERMANY, ("chest_xray", "chest-xray-pneumonia")),
        "covid_chestxray": Member(COVID_CHESTXRAY, ("covid-chestxray-dataset",)),
    }

    def records(self, root: Path, options: Options) -> Iterator[Record | SkippedRecord]:
        entries = {name: self._list_by_stem(name, folder) for name, folder in self.find_members(root).items()}
        for fields in read_csv(_LIST, "collection", "file", "label", "upstream_label"):
            collection = fields["collection"]
            stem = Path(fields["file"]).stem
            members = [name for name in (collection, *_ALTERNATIVES.get(collection, ())) if name in entries]
            # The first collection that has the file is used, even if another one skips it.
            reasons = []
            for member in members:
                entry = entries[member].get(stem)
                if isinstance(entry, Record):
                    yield rebase(member, entry, label=fields["label"], upstream_label=fields["upstream_label"])
                    break
                if entry:
                    reasons.append(entry.reason)
            else:
                default = "no such file" if members else f"no folder {collection}"
                yield SkippedRecord(f"{collection}/{fields['file']}", reasons[0] if reasons else default)

    def _list_by_stem(self, name: str, folder: Path) -> dict[str, Record | SkippedRecord]:
        """List the radiographs of a collection by file name without suffix, because copies differ in the suffix."""
        return {Path(entry.id).stem: entry for entry in self.list_member(name, folder)}


SOURCE = Oh2020()
