"""The Hannover collection: data.csv with one row per image, and png/ID.png."""

from collections.abc import Iterator
from pathlib import Path

from data_prep.collections.locate import find_root
from data_prep.collections.spreadsheet import read_csv
from data_prep.options import Options
from data_prep.record import Record, SkippedRecord
from data_prep.source import RemoteFile, Source

_FRONTAL = ("ap", "pa")


class Hannover(Source[Options]):
    """Radiographs of COVID-19 patients, several for most patients."""

    name = "hannover"
    description = "COVID-19 radiographs of the Hannover Medical School, many for each patient over time"
    homepage = "https://github.com/ml-workgroup/covid-19-image-repository"
    license = "CC BY 3.0"
    size = "243 PNG files"
    coverage = "all 243 (71 patients), the 8-bit PNG files; many are also in covid_chestxray and covid_radiography"
    citation = """@misc{winther2020covid,
  author = {Winther, Hinrich B. and Laser, Hans and Gerbel, Svetlana and Maschke, Sabine K. and Hinrichs, Jan B. and
    Vogel-Claussen, Jens and Wacker, Frank K. and H{\\"o}per, Marius M. and Meyer, Bernhard C.},
  title = {{COVID-19} Image Repository},
  year = {2020},
  doi = {10.6084/m9.figshare.12275009}
}"""
    files = (
        RemoteFile(
            "https://github.com/ml-workgroup/covid-19-image-repository/archive/refs/heads/master.zip",
            "",
            ".",
        ),
    )

    def records(self, root: Path, options: Options) -> Iterator[Record | SkippedRecord]:
        folder = find_root(root, "data.csv", "png")
        for fields in read_csv(folder / "data.csv", "patient_id", "image_id", "projection", "sex"):
            name = f"png/{fields['image_id']}.png"
            view = fields["projection"]
            if view and view.lower() not in _FRONTAL:
                yield SkippedRecord(
                    name, "lateral view" if view.lower().startswith("l") else f"view {view}, not frontal"
                )
            elif not (folder / name).is_file():
                yield SkippedRecord(name, "no such file")
            else:
                yield Record(
                    id=name,
                    file=folder / name,
                    label="covid19",
                    upstream_label="COVID-19",
                    patient_id=f"hannover-{fields['patient_id']}",
                    source=self.name,
                    view=view,
                    sex=fields["sex"],
                    license=self.license,
                )


SOURCE = Hannover()
