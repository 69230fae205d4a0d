"""The demonstration on synthetic radiographs: minutes on a laptop, without any download.

python -m data_prep phantom --out=data
python -m cxrjax.main --config=configs/phantom.py:segment --workdir=runs/phantom_segment
python -m cxrjax.main --config=configs/phantom.py:classify --workdir=runs/phantom_classify
Numbers without a source are ours, chosen on the validation split.
"""

from ml_collections import ConfigDict

from cxrjax.config import LABELS, default_config, select_variant


def get_config(variant: str = "") -> ConfigDict:
    """Return the config of a variant: "segment" or "classify"."""
    return select_variant(variant, segment, classify)


def segment() -> ConfigDict:
    """A small FC-DenseNet at 64² segments the lungs."""
    config = default_config()
    config.task = "segment"
    config.data.dir = "data/phantom"
    config.image.size = 256
    config.segmenter.architecture = "fc_densenet29"
    config.segmenter.size = 64
    config.segmenter.dropout = 0.0
    config.training.epochs = 2
    config.training.batch_size = 4
    config.training.learning_rate = 3e-3  # ours: from random weights, in few epochs
    config.training.schedule = "cosine"
    config.training.warmup_fraction = 0.05
    config.training.metric = "jaccard"
    return config


def classify() -> ConfigDict:
    """A small ResNet votes on 100 patches; it needs the run runs/phantom_segment."""
    config = default_config()
    config.task = "classify"
    config.classifier.classes = LABELS
    config.data.dir = "data/phantom"
    config.image.size = 256  # a quarter of the paper's
    config.segmenter.workdir = "runs/phantom_segment"
    config.classifier.architecture = "resnet6_narrow"
    config.classifier.channels = 1
    config.patches.size = 64  # a quarter of the radiograph, about as the paper's 224 of 1024
    config.patches.count_validation = 3
    # Ours: most patches miss a pneumonia of one lobe. Chosen on the validation phantoms.
    config.voting.aggregation = "mean_probability"
    config.training.epochs = 130
    config.training.learning_rate = 3e-3  # ours: from random weights
    config.training.ema_decay = 0.99
    config.training.schedule = "cosine"
    config.training.warmup_fraction = 0.05
    config.training.metric = "loss"
    config.augmentation.flip_horizontal = 0.5
    return config
