"""RICORD 1c in the small."""

from pathlib import Path

from data_prep.collections.fixtures import draw_image, save_dicom

_FILES = {
    "419639-000025/08-02-2002-NA-XR CHEST 1 VIEW AP PORTABLE-04760/1.000000-AP-41803/1-1.dcm": "AP",
    "419639-000025/08-09-2002-NA-XR CHEST PA AND LATERAL-39552/1.000000-PA-12345/1-1.dcm": "PA",
    "419639-000025/08-09-2002-NA-XR CHEST PA AND LATERAL-39552/2.000000-LAT-12346/1-1.dcm": "LL",
    "419639-001464/03-11-2003-NA-CHEST-39871/1.000000-NA-00001/1-1.dcm": "AP",
    "SITE2-000002/01-01-2000-NA-CHEST-00001/1.000000-NA-00002/1-1.dcm": "AP",
    "SITE2-000002/01-02-2000-NA-CHEST-00002/1.000000-NA-00003/1-1.dcm": "AP",
}


def write(folder: Path) -> None:
    """Six files of three patients: one is a lateral view and one is cut off."""
    top = folder / "manifest-1610656454899" / "MIDRC-RICORD-1C"
    for name, view in _FILES.items():
        file = top / f"MIDRC-RICORD-1C-{name}"
        save_dicom(file, draw_image(name), Modality="DX", ViewPosition=view, PatientSex="M")
        if "CHEST-00002" in name:
            file.write_bytes(file.read_bytes()[:-1000])
