"""singhaxn's classifier: ResNet34 on the whole radiograph.

python -m cxrjax.main --config=configs/singhaxn_classify.py \
    --config.data.directory=DATA --config.segmenter.workdir=SEGMENTER_RUN --workdir=RUN
The notebook that trained it is not public, so every number of the training is ours, after singhaxn_segment. Left out so
far: the crop to the lungs and its three made channels (Otsu, CLAHE, adaptive threshold).
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.task = "classify"
    config.init = base.IMAGENET.format("resnet34")  # ours
    config.init_head = "fresh"  # ours
    config.image.size = 448  # ours
    config.image.gamma = 1.0  # classifier_common.py:20-44
    config.image.equalise = False  # classifier_common.py:20-44
    config.classifier.architecture = "resnet34"  # README.md:12
    config.classifier.normalise = "imagenet"  # predict.ipynb, cell 5
    config.patches.mode = "global"  # classifier_common.py:20
    config.patches.masked = False  # classifier_common.py:20
    config.training.epochs = 50  # ours
    config.training.optimiser = "adamw"  # ours
    config.training.decay = 1e-2  # ours
    config.training.decay_vectors = False  # ours
    config.training.learning_rate = 1e-4  # ours
    config.training.schedule = "one_cycle"  # ours
    config.training.metric = "loss"  # ours
    config.training.patience = 8  # ours
    config.augmentation.rotation = 10.0  # ours
    config.augmentation.flip = 0.5  # ours
    return config
