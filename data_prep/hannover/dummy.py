"""Hannover in the small."""

from pathlib import Path

from data_prep.collections.fixtures import save_image

_ROWS = """042f06a9,b343e657,m,,CR,ap
042f06a9,c9280a30,m,,CR,ap
0f2b9fbd,5f619d7e,m,,DX,pa
1c642000,f6575117,f,,DX,pa
1c642000,ac4f6e4e,f,,CR,lateral
23032572,2cd63b76,f,,DX,pa
"""


def write(folder: Path) -> None:
    """Six images of four patients; one is a lateral view, and 2cd63b76 has no file."""
    top = folder / "covid-19-image-repository-master"  # as GitHub's archives unpack
    for row in _ROWS.splitlines():
        name = row.split(",")[1]
        if name != "2cd63b76":
            save_image(top / "png" / f"{name}.png")
    (top / "data.csv").write_text("patient_id,image_id,sex,age,modality,projection\n" + _ROWS)
