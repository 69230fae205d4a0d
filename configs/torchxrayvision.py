"""Published networks of torchxrayvision (Cohen et al. 2022): findings of a whole radiograph, to apply and to audit.

python -m cxrjax.main --mode=import --config=configs/torchxrayvision.py:VARIANT --input=FILE --workdir=RUN
FILE is the one that torchxrayvision downloads to ~/.torchxrayvision/models_data; docs/how_to/published_models.md has
the addresses.
Sources: mlmed/torchxrayvision at version 1.5.7; labels and operating points are those of `model_urls` in models.py.
Differences from the original: the middle square is resized by area averaging (there by interpolation with a Gaussian
filter) and rounded to 8 bit; a DICOM file is displayed by its window. Outputs without a label are left out.
Benchmark: none here; the weights are not redistributed.
"""

from ml_collections import ConfigDict

from cxrjax.config import default_config, select_variant

_NAMES = (
    "Atelectasis", "Consolidation", "Infiltration", "Pneumothorax", "Edema", "Emphysema", "Fibrosis", "Effusion",
    "Pneumonia", "Pleural_Thickening", "Cardiomegaly", "Nodule", "Mass", "Hernia", "Lung Lesion", "Fracture",
    "Lung Opacity", "Enlarged Cardiomediastinum",
)  # fmt: skip
_CHEXPERT_OUTPUTS = (0, 1, 3, 4, 7, 8, 10, 14, 15, 16, 17)  # numbers of those that CheXpert and MIMIC-CXR label


def get_config(variant: str = "") -> ConfigDict:
    """Return the config of a variant, which is the data that a network was trained on."""
    return select_variant(variant, all_sets, nih, padchest, chexpert, rsna, mimic_nb, mimic_ch, resnet50)


def _published(outputs: tuple[int, ...], points: tuple[float, ...]) -> ConfigDict:
    """Return the config of a DenseNet121 at 224 pixels.

    Args:
        outputs: numbers of the outputs that have a label.
        points: their operating points.
    """
    config = default_config()
    config.task = "classify"
    config.image.size = 224  # model_urls, input_resolution
    config.image.gamma = 1.0  # utils.py:59-90
    config.image.equalize = False  # utils.py:59-90
    config.image.borders = "square"  # datasets.py, XRayCenterCrop
    config.classifier.architecture = "densenet121"  # models.py, DenseNet
    config.classifier.targets = "multi"  # models.py, DenseNet.forward
    config.classifier.channels = 1  # models.py, DenseNet
    config.classifier.normalization = "torchxrayvision"  # utils.py:59
    config.classifier.classes = tuple(_NAMES[number] for number in outputs)  # model_urls, labels
    config.classifier.thresholds = points  # model_urls, op_threshs
    config.pretrained_outputs = outputs  # model_urls, labels
    config.patches.mode = "global"  # the whole image; models.py
    config.patches.mask_lungs = False  # models.py
    config.patches.size = 224  # model_urls, input_resolution
    return config


def all_sets() -> ConfigDict:
    """DenseNet121 of 18 findings, trained on NIH ChestX-ray14, PadChest, CheXpert, MIMIC-CXR, Open-i and RSNA.

    File: nih-pc-chex-mimic_ch-google-openi-kaggle-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt
    """
    outputs = tuple(range(18))
    points = (
        0.07422872, 0.038290843, 0.09814756, 0.0098118475, 0.023601074, 0.0022490358, 0.010060724, 0.103246614,
        0.056810737, 0.026791653, 0.050318155, 0.023985857, 0.01939503, 0.042889766, 0.053369623, 0.035975814,
        0.20204692, 0.05015312,
    )  # fmt: skip
    return _published(outputs, points)


def nih() -> ConfigDict:
    """DenseNet121 of 14 findings, trained on NIH ChestX-ray14.

    File: nih-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt
    """
    outputs = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)
    points = (
        0.039117552, 0.0034529066, 0.11396341, 0.0057298196, 0.00045666535, 0.0018880932, 0.012037827, 0.038744126,
        0.0037213727, 0.014730946, 0.016149804, 0.054241467, 0.037198864, 0.0004403434,
    )  # fmt: skip
    return _published(outputs, points)


def padchest() -> ConfigDict:
    """DenseNet121 of 15 findings, trained on PadChest.

    File: pc-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt
    """
    outputs = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15)
    points = (
        0.031012505, 0.013347598, 0.081435576, 0.001262615, 0.002587246, 0.0035944257, 0.0023071, 0.055412333,
        0.044385884, 0.042766232, 0.043258056, 0.037629247, 0.005658899, 0.0091741895, 0.026507627,
    )  # fmt: skip
    return _published(outputs, points)


def chexpert() -> ConfigDict:
    """DenseNet121 of 11 findings, trained on CheXpert.

    File: chex-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt
    """
    points = (
        0.1988969, 0.05710573, 0.0531293, 0.1435217, 0.27212676, 0.07749717, 0.19712369, 0.09932402, 0.09273402,
        0.3270967, 0.10888247,
    )  # fmt: skip
    return _published(_CHEXPERT_OUTPUTS, points)


def rsna() -> ConfigDict:
    """DenseNet121 of 2 findings, trained on the RSNA Pneumonia Challenge.

    File: kaggle-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt
    """
    outputs = (8, 16)
    points = (
        0.13486601, 0.13511065,
    )  # fmt: skip
    return _published(outputs, points)


def mimic_nb() -> ConfigDict:
    """DenseNet121 of 11 findings, trained on MIMIC-CXR, labels by NegBio.

    File: mimic_nb-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt
    """
    points = (
        0.08558747, 0.011884617, 0.0040595434, 0.010733786, 0.118761964, 0.022924708, 0.06358637, 0.022143636,
        0.017476924, 0.1258702, 0.014020768,
    )  # fmt: skip
    return _published(_CHEXPERT_OUTPUTS, points)


def mimic_ch() -> ConfigDict:
    """DenseNet121 of 11 findings, trained on MIMIC-CXR, labels by the labeler of CheXpert.

    File: mimic_ch-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt
    """
    points = (
        0.09121389, 0.010573786, 0.005023008, 0.003698257, 0.08001232, 0.037242252, 0.05006329, 0.019866971,
        0.03823637, 0.11303808, 0.0069147074,
    )  # fmt: skip
    return _published(_CHEXPERT_OUTPUTS, points)


def resnet50() -> ConfigDict:
    """ResNet50 of 16 findings, trained on PadChest, NIH ChestX-ray14, RSNA, SIIM-ACR and VinDr-CXR, at 512 pixels.

    File: pc-nih-rsna-siim-vin-resnet50-test512-e400-state.pt
    """
    outputs = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16)
    points = (
        0.51570356, 0.50444704, 0.53787947, 0.50723547, 0.5025118, 0.5035252, 0.5038076, 0.51862943, 0.5078151,
        0.50724894, 0.5056339, 0.510706, 0.5053923, 0.5020846, 0.5080557, 0.5138526,
    )  # fmt: skip
    config = _published(outputs, points)
    config.classifier.architecture = "resnet50"  # models.py, ResNet
    config.image.size = 512  # model_urls, input_resolution
    config.patches.size = 512  # model_urls, input_resolution
    return config
