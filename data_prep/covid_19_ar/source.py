"""COVID-19-AR: COVID-19-AR-NUMBER/STUDY/SERIES/*.dcm, as TCIA's download program writes it."""

from data_prep.collections.tcia import CovidCollection


class Covid19Ar(CovidCollection):
    """Radiographs of patients with COVID-19; the CT of the collection is skipped."""

    name = "covid_19_ar"
    prefix = "COVID-19-AR-"
    description = "COVID-19-AR: DICOM radiographs of patients with COVID-19 in rural Arkansas"
    homepage = "https://doi.org/10.7937/tcia.2020.py71-5978 (TCIA's download program)"
    license = "CC BY 4.0"
    size = "31,935 DICOM files, nearly all of them CT slices; the download program can exclude CT"
    coverage = "the frontal views of 233 studies of 105 patients; 23 studies are CT according to metadata.csv"
    citation = """@article{desai2020chest,
  author = {Desai, Shivang and Baghal, Ahmad and Wongsurawat, Thidathip and others},
  title = {Chest Imaging Representing a {COVID-19} Positive Rural {U.S.} Population},
  journal = {Scientific Data},
  volume = {7},
  pages = {414},
  year = {2020},
  doi = {10.1038/s41597-020-00741-6}
}"""


SOURCE = Covid19Ar()
