"""The radiographs of Oh, Park and Ye (IEEE TMI 2020), as the metadata sheet of their repository lists them.

`radiographs.csv` restates the sheet: collection, file, class, and the collection's own word. The sheet gives 503 rows
and the paper 502 radiographs: F051E018-DAD1-4506-AD43-BE4CA29E960B.jpeg stands there twice, in CoronaHack and in
ieee8023's collection, and once here. The paper's table counts 57 of tuberculosis and 180 of COVID-19 where the sheet
lists 58 and 179. No split is published, only its shares, 0.7, 0.1 and 0.2; it is drawn here by patient.
"""

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from data_prep.collections.composite import Composite, Member, rebase
from data_prep.collections.spreadsheet import read_csv
from data_prep.coronahack.source import SOURCE as CORONAHACK
from data_prep.covid_chestxray.source import SOURCE as COVID_CHESTXRAY
from data_prep.jsrt_scr.source import SOURCE as JSRT_SCR
from data_prep.kermany.source import SOURCE as KERMANY
from data_prep.montgomery.source import SOURCE as MONTGOMERY
from data_prep.record import Record, SkippedRecord

_LIST = Path(__file__).with_name("radiographs.csv")
_ELSEWHERE = {"coronahack": ("kermany", "covid_chestxray")}  # they hold the same files


class Oh2020(Composite):
    """Five classes from four collections."""

    name = "oh2020"
    description = "the radiographs of Oh, Park and Ye 2020 (normal, bacterial, tuberculosis, viral, COVID-19)"
    homepage = (
        "its parts, side by side in one folder: jsrt_scr, montgomery, coronahack (or kermany) and covid_chestxray, "
        "each as its own source says"
    )
    coverage = (
        "502 as the authors' sheet lists them: normal 191, bacterial 54 (12 of them Pneumocystis, a fungus), "
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
    parts = {
        "jsrt_scr": Member(JSRT_SCR, ("JSRT", "jsrt")),
        "montgomery": Member(MONTGOMERY, ("MontgomerySet", "NLM-MontgomeryCXRSet")),
        "coronahack": Member(CORONAHACK, ("coronahack-chest-xraydataset",)),
        "kermany": Member(KERMANY, ("chest_xray", "chest-xray-pneumonia")),
        "covid_chestxray": Member(COVID_CHESTXRAY, ("covid-chestxray-dataset",)),
    }

    def rows(self, root: Path, options: Namespace) -> Iterator[Record | SkippedRecord]:
        there = {name: self._list_by_stem(name, folder) for name, folder in self.find_parts(root).items()}
        for fields in read_csv(_LIST, "collection", "file", "label", "upstream_label"):
            collection, stem = fields["collection"], Path(fields["file"]).stem
            name = f"{collection}/{fields['file']}"
            places = [place for place in (collection, *_ELSEWHERE.get(collection, ())) if place in there]
            found = [(place, there[place][stem]) for place in places if stem in there[place]]
            # Where one place has the file, what another says of it does not matter.
            place, one = next(
                (pair for pair in found if isinstance(pair[1], Record)), found[0] if found else ("", None)
            )
            if isinstance(one, Record):
                yield rebase(place, one, label=fields["label"], upstream_label=fields["upstream_label"])
            else:
                yield SkippedRecord(
                    name, one.reason if one else "no such file" if places else f"no folder {collection}"
                )

    def _list_by_stem(self, name: str, folder: Path) -> dict[str, Record | SkippedRecord]:
        """By the name of a file without suffix: copies differ in that."""
        return {Path(one.id).stem: one for one in self.list_part(name, folder)}


SOURCE = Oh2020()
