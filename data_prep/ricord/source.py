"""RICORD 1c: MIDRC-RICORD-1C-SITE-NUMBER/STUDY/SERIES/*.dcm, as TCIA's download program writes it."""

from data_prep.collections.tcia import CovidCollection


class Ricord(CovidCollection):
    """Radiographs of adults with COVID-19."""

    name = "ricord"
    prefix = "MIDRC-RICORD-1C-"
    description = "MIDRC-RICORD-1c: DICOM radiographs of adults with COVID-19 from four sites"
    homepage = "https://www.cancerimagingarchive.net/collection/midrc-ricord-1c (TCIA's download program)"
    license = "CC BY-NC 4.0"
    size = "998 studies in DICOM files"
    coverage = "the frontal views of 998 studies of 361 patients; lateral views are found only when a file is read"
    citation = """@article{tsai2021rsna,
  author = {Tsai, Emily B. and Simpson, Scott and Lungren, Matthew P. and others},
  title = {The {RSNA} International {COVID-19} Open Radiology Database ({RICORD})},
  journal = {Radiology},
  volume = {299},
  number = {1},
  pages = {E204--E213},
  year = {2021},
  doi = {10.1148/radiol.2021203957}
}"""


SOURCE = Ricord()
