"""The demonstration's findings: a small ResNet votes on 100 patches of made-up radiographs, minutes on a laptop.

python -m cxrjax.main --config=configs/phantom_classify.py --workdir=runs/phantom_classify
Needs runs/phantom_segment; see configs/phantom_segment.py.
Numbers without a source are ours, chosen on the validation split.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.task = "classify"
    config.data.directory = "data/phantom"
    config.image.size = 256  # a quarter of the paper's
    config.segmenter.workdir = "runs/phantom_segment"
    config.classifier.architecture = "resnet6"
    config.classifier.channels = 1
    config.patches.size = 64  # a quarter of the radiograph, about as the paper's 224 of 1024
    config.patches.validation_count = 3
    # Ours: pneumonia of one lobe is missed by most patches. Chosen on the validation phantoms.
    config.voting.rule = "mean_probability"
    config.training.epochs = 130
    config.training.learning_rate = 3e-3  # ours: from random weights
    config.training.average = 0.99
    config.training.schedule = "cosine"
    config.training.warmup = 0.05
    config.training.metric = "loss"
    config.augmentation.flip = 0.5
    return config
