"""COVID-19-AR in the small."""

from pathlib import Path

from data_prep.collections.fixtures import draw_image, save_dicom

_SERIES = {
    "COVID-19-AR-16406488/01-09-2012-NA-XR CHEST AP PORTABLE-72203/2.000000-AP-81377": ("DX", 1),
    "COVID-19-AR-16406488/01-12-2012-NA-CT CHEST-11111/3.000000-AXIAL-22222": ("CT", 3),
    "COVID-19-AR-16406491/12-30-2011-NA-XR CHEST-36652/1001.000000-NA-80750": ("CR", 2),
    "COVID-19-AR-16406502/05-05-2012-NA-CT ABDOMEN-33333/1.000000-SCOUT-44444": ("CT", 1),
    "COVID-19-AR-16406513/07-07-2012-NA-XR CHEST PA AND LATERAL-55555/1.000000-LATERAL-66666": ("DX", 1),
    "COVID-19-AR-16406520/07-07-2012-NA-XR CHEST PA AND LATERAL-77777/1.000000-PA-88888": ("DX", 1),
}


def write(folder: Path) -> None:
    """Six series of five patients: a CT that the table tells, a CT that it does not, and a lateral view."""
    top = folder / "manifest-1594838153469"
    lines = ["Series UID,Collection,Modality,File Location"]
    for number, (name, (modality, count)) in enumerate(_SERIES.items()):
        place = f"COVID-19-AR/{name}"
        if "ABDOMEN" not in name:
            lines.append(f"1.3.6.{number},COVID-19-AR,{modality}," + ".\\" + place.replace("/", "\\"))
        for slice_ in range(1, count + 1):
            side = {"SeriesDescription": "LATERAL"} if "-LATERAL-" in name else {}
            picture = draw_image(f"{name}/{slice_}")
            save_dicom(top / place / f"1-{slice_}.dcm", picture, Modality=modality, PatientAge="062Y", **side)
    (top / "metadata.csv").write_text("\n".join(lines) + "\n")
