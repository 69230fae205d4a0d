"""Hannover's layout: data.csv, a row an image, and png/ID.png."""

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from data_prep.row import Row, Skip
from data_prep.source import File, Source
from data_prep.upstream.layout import locate
from data_prep.upstream.sheets import read_csv

_FRONTAL = ("ap", "pa")


class Hannover(Source):
    """Radiographs of COVID-19 patients, several of most."""

    name = "hannover"
    about = "COVID-19 radiographs of the Hannover Medical School, many of a patient over time"
    where = "https://github.com/ml-workgroup/covid-19-image-repository"
    terms = "CC BY 3.0"
    size = "243 PNG files"
    usable = "all 243 (71 patients), the 8-bit PNG files; covid_chestxray and covid_radiography hold many of them too"
    citation = """@misc{winther2020covid,
  author = {Winther, Hinrich B. and Laser, Hans and Gerbel, Svetlana and Maschke, Sabine K. and Hinrichs, Jan B. and
    Vogel-Claussen, Jens and Wacker, Frank K. and H{\\"o}per, Marius M. and Meyer, Bernhard C.},
  title = {{COVID-19} Image Repository},
  year = {2020},
  doi = {10.6084/m9.figshare.12275009}
}"""
    files = (
        File(
            "https://github.com/ml-workgroup/covid-19-image-repository/archive/refs/heads/master.zip",
            "",
            ".",
        ),
    )

    def rows(self, root: Path, options: Namespace) -> Iterator[Row | Skip]:
        folder = locate(root, "data.csv", "png")
        for fields in read_csv(folder / "data.csv", "patient_id", "image_id", "projection", "sex"):
            name = f"png/{fields['image_id']}.png"
            view = fields["projection"]
            if view and view.lower() not in _FRONTAL:
                yield Skip(name, "lateral view" if view.lower().startswith("l") else f"view {view}, not frontal")
            elif not (folder / name).is_file():
                yield Skip(name, "no such file")
            else:
                yield Row(
                    id=name,
                    file=folder / name,
                    label="covid19",
                    upstream_label="COVID-19",
                    patient_id=f"hannover-{fields['patient_id']}",
                    source=self.name,
                    view=view,
                    sex=fields["sex"],
                    licence=self.terms,
                )


SOURCE = Hannover()
