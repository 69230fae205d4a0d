"""CheXNet (Rajpurkar et al. 2017) as its reimplementations publish it: 14 findings of a whole radiograph.

python -m cxrjax.main --mode=import --config=configs/chexnet.py:VARIANT --input=FILE --workdir=RUN
FILE is a checkpoint of arnoweng/CheXNet, zoogzog/chexnet or jrzech/reproduce-chexnet (docs/how_to/published_models.md).
To train it instead, leave out --mode=import and --input, and name --config.data.dir=DATA.
Sources: arnoweng/CheXNet (model.py), zoogzog/chexnet (ChexnetTrainer.py), jrzech/reproduce-chexnet (model.py).
Difference from the original: one middle crop is classified, where arnoweng/CheXNet and zoogzog/chexnet average the
probabilities of ten crops.
Benchmark: none here; the weights are not redistributed.
"""

from ml_collections import ConfigDict

from cxrjax.config import default_config, imagenet_address, select_variant

_NAMES = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
    "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
)  # fmt: skip


def get_config(variant: str = "") -> ConfigDict:
    """Return the config of a variant: "center_crop" or "whole"."""
    return select_variant(variant, center_crop, whole)


def center_crop() -> ConfigDict:
    """DenseNet121 on the middle 224 of 256 pixels.

    Sources: arnoweng/CheXNet model.py, zoogzog/chexnet ChexnetTrainer.py.
    """
    config = whole()
    config.image.size = 256  # arnoweng model.py, transforms.Resize(256)
    config.patches.center_crop = 0.125  # 32 of 256 pixels; arnoweng model.py, TenCrop(224)
    return config


def whole() -> ConfigDict:
    """DenseNet121 on the radiograph at 224 pixels.

    Sources: jrzech/reproduce-chexnet model.py, which resizes to 224 pixels and crops 224.
    """
    config = default_config()
    config.task = "classify"
    config.pretrained = imagenet_address("densenet121")  # jrzech model.py, of a training
    config.image.size = 224  # jrzech model.py
    config.image.gamma = 1.0  # jrzech model.py
    config.image.equalize = False  # jrzech model.py
    config.image.borders = "square"  # transforms.Resize and CenterCrop; jrzech model.py
    config.classifier.architecture = "densenet121"  # all three
    config.classifier.targets = "multi"  # a sigmoid per finding; all three
    config.classifier.normalization = "imagenet"  # all three
    config.classifier.classes = _NAMES  # arnoweng model.py, CLASS_NAMES
    config.patches.mode = "global"  # all three
    config.patches.mask_lungs = False  # all three
    config.patches.size = 224  # all three
    config.training.epochs = 100  # jrzech model.py
    config.training.batch_size = 16  # jrzech model.py
    config.training.learning_rate = 0.01  # jrzech retrain.py
    config.training.schedule = "plateau"  # jrzech model.py
    config.training.plateau_patience = 0  # jrzech model.py
    config.training.metric = "loss"  # jrzech model.py
    config.training.patience = 3  # jrzech model.py
    config.optimizer.name = "sgd"  # jrzech model.py
    config.optimizer.weight_decay = 1e-4  # jrzech retrain.py
    config.augmentation.flip_horizontal = 0.5  # jrzech model.py
    return config
