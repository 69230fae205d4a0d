"""Lungs and heart of adults and children: `half` trained the segmenter that comes with the package, the model "lungs".

python -m benchmarks.shippable --csv=LUNGS.csv --metadata=covid-chestxray-dataset/metadata.csv --out=shippable.csv
python -m data_prep table --csv=shippable.csv --name=lungs_all --out=data
and for each VARIANT, quarter, half and full, in this order:
python -m cxrjax.main --config=configs/lungs.py:VARIANT --workdir=runs/lungs_VARIANT
Radiographs and masks: JSRT (heart, left and right lung), OpenIST (lungs), V7 Labs (lungs of children and of patients
with COVID-19, with the part behind the heart). Training begins at a quarter of the final side, where a step costs a
sixteenth. Numbers are ours, chosen on the validation split. On it, `half` reached a Dice coefficient of the lungs of
0.955, `full` after its single epoch 0.934: at the size of the paper the network needs more epochs than a CPU allows.
"""

from ml_collections import ConfigDict

from cxrjax.config import default_config, select_variant


def get_config(variant: str = "") -> ConfigDict:
    """Return the config of a variant: "quarter", "half" or "full"."""
    return select_variant(variant, quarter, half, full)


def quarter() -> ConfigDict:
    """FC-DenseNet56 at 64², from random weights."""
    config = default_config()
    config.task = "segment"
    config.data.dir = "data/lungs_all"
    config.image.size = 512  # half the paper's; the radiographs have a long side of 512 pixels at most
    config.segmenter.architecture = "fc_densenet56"
    config.segmenter.size = 64
    config.segmenter.dropout = 0.0  # the augmentation regularizes enough
    config.training.epochs = 8
    config.training.batch_size = 8
    config.training.learning_rate = 2e-3
    config.training.schedule = "cosine"
    config.training.warmup_fraction = 0.05
    config.training.ema_decay = 0.99
    config.training.metric = "jaccard"
    config.training.patience = 100
    # Radiographs from clinics are rotated, too far or too near, of any contrast, or have blank borders.
    config.augmentation.rotation = 15.0
    config.augmentation.scale = 0.2
    config.augmentation.shift = 0.1
    config.augmentation.contrast = 0.4
    config.augmentation.brightness = 0.2
    config.augmentation.border = 0.15
    return config


def half() -> ConfigDict:
    """The network of `quarter`, trained further at 128²."""
    config = quarter()
    config.pretrained = "runs/lungs_quarter"
    config.segmenter.size = 128
    config.training.epochs = 2
    config.training.learning_rate = 1e-3
    return config


def full() -> ConfigDict:
    """The network of `half`, trained further at 256², the size of the paper."""
    config = half()
    config.pretrained = "runs/lungs_half"
    config.segmenter.size = 256
    config.training.epochs = 1
    config.training.learning_rate = 5e-4
    return config
