"""The COVID-19 image data collection in the small."""

from pathlib import Path

from data_prep.collections.fixtures import draw_lung_mask, save_image

_TABLE = """patientid,offset,sex,age,finding,view,modality,folder,filename,license,clinical_notes
2,0,M,65,COVID-19,PA,X-ray,images,first.jpg,,"Admitted, with fever"
2,3,M,65,"COVID-19, ARDS",AP Supine,X-ray,images,second.png,CC BY-NC-SA,
2,5,M,65,Pneumonia/Viral/COVID-19,AP,X-ray,images,cut-off.png,,
2,5,M,65,COVID-19,L,X-ray,images,lateral.jpg,,
6,,F,,Pneumonia/Viral/COVID-19,PA,X-ray,images,third.jpg,CC BY 3.0,
901a,,F,50,SARS,AP erect,X-ray,images,sars.jpg,,
901b,,M,51,Pneumonia/Bacterial/Streptococcus,PA,X-ray,images,streptococcus.jpg,,
902,,,,Pneumonia/Fungal/Pneumocystis,PA,X-ray,images,fungus.jpg,,
903,,,,No Finding,PA,X-ray,images,normal.jpg,,
904,,,,Pneumonia,PA,X-ray,images,pneumonia.jpg,,
905,,,,COVID-19,Axial,CT,images,slice.jpg,,
906,,,,COVID-19,Axial,CT,volumes,volume.nii.gz,,
907,,,,COVID-19,,X-ray,images,unstated.jpg,,
908,,,,todo,PA,X-ray,images,todo.jpg,,
909,,,,COVID-19,PA,X-ray,images,gone.jpg,,
903,,,,No Finding,PA,X-ray,images,normal.jpg,,
"""
_ABSENT = {"volume.nii.gz", "gone.jpg"}


def write(folder: Path) -> None:
    """Sixteen rows: eight good ones, two of them of one patient; a mask of either kind, and one image with both."""
    for line in _TABLE.splitlines()[1:]:
        name = line.split(",images,")[-1].split(",")[0]
        if not any(absent in line for absent in _ABSENT):
            save_image(folder / "images" / name)
    cut = folder / "images/cut-off.png"
    cut.write_bytes(cut.read_bytes()[:-40])
    right, left = draw_lung_mask("right") * 255, draw_lung_mask("left") * 255
    save_image(folder / "lung_masks_v7/first.png", right | left)
    save_image(folder / "annotations/lungVAE-masks/first_mask.png", right)
    save_image(folder / "annotations/lungVAE-masks/second_mask.png", left)
    (folder / "metadata.csv").write_text(_TABLE, encoding="utf-8")
