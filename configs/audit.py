"""The small network of the audit: trained anew for each control, on whole radiographs, and always alike.

python -m cxrjax.main --workdir=RUN --mode=audit [--config=configs/audit.py --config.training.epochs=20]
Its data, its classes, and the way its radiographs are standardised, are those of RUN.
Numbers are ours.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.task = "classify"
    config.classifier.architecture = "resnet8_narrow"
    config.classifier.channels = 1
    config.patches.mode = "global"
    config.patches.masked = False
    config.patches.size = 64  # letters and frames can be seen at this size, and a training takes half a minute
    config.patches.count = 25  # patches that the run's own network votes with when it is asked again
    config.training.epochs = 12  # and 400 steps at least (cxrjax/audit/probe.py)
    config.training.batch_size = 32
    config.training.sampling = "balanced"
    config.training.learning_rate = 2e-3
    config.training.schedule = "cosine"
    config.training.warmup = 0.1
    config.training.average = 0.95
    config.training.decay = 1e-4
    config.training.metric = "loss"
    config.augmentation.shift = 0.03  # and no flip: on which side a mark stands is part of what is looked for
    config.augmentation.contrast = 0.1
    config.evaluation.batch_size = 32
    return config
