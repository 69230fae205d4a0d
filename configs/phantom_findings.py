"""Several findings at once on synthetic radiographs: minutes on a laptop, without any download.

python -m data_prep phantom_findings --out=data
python -m cxrjax.main --config=configs/phantom_findings.py:patches --workdir=runs/phantom_findings
With `whole`, one network reads whole radiographs and finds no lungs. Numbers are ours, chosen on the validation split.
"""

from ml_collections import ConfigDict

from cxrjax.config import default_config, select_variant


def get_config(variant: str = "patches") -> ConfigDict:
    """Return the config of a variant: "patches" or "whole"."""
    return select_variant(variant, patches, whole)


def patches() -> ConfigDict:
    """A ResNet of eight layers votes yes or no on each finding, by 50 patches of 96² from the lungs."""
    config = _common()
    config.segmenter.workdir = "lungs"
    config.patches.size = 96
    config.patches.count = 50
    config.patches.count_validation = 5
    return config


def whole() -> ConfigDict:
    """The network of `patches` reads whole radiographs of 128²."""
    config = _common()
    config.image.size = 128
    config.patches.mode = "global"
    config.patches.mask_lungs = False
    config.patches.size = 128
    return config


def _common() -> ConfigDict:
    config = default_config()
    config.task = "classify"
    config.data.dir = "data/phantom_findings"
    config.image.size = 256
    config.classifier.targets = "multi"
    config.classifier.architecture = "resnet8"
    config.classifier.channels = 1
    config.voting.aggregation = "mean_probability"  # most patches miss a nodule
    config.training.epochs = 60
    config.training.learning_rate = 3e-3
    config.training.ema_decay = 0.99
    config.training.schedule = "cosine"
    config.training.warmup_fraction = 0.05
    config.training.metric = "macro_auroc"
    config.augmentation.flip_horizontal = 0.5
    return config
