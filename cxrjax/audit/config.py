"""Config of the audit's probe network: a small classifier of whole radiographs, trained once per experiment.

python -m cxrjax.main --workdir=RUN --mode=audit [--config=audit --config.training.epochs=20]
The data, the classes and the preprocessing are those of RUN; all experiments use the same settings.
Numbers are ours.
"""

from typing import Any

from ml_collections import ConfigDict

from cxrjax.config import LABELS, default_config


def get_config() -> ConfigDict:
    """Return the config of the probe network."""
    config: Any = default_config()
    config.task = "classify"
    config.classifier.classes = LABELS  # replaced by those of the run
    config.classifier.architecture = "resnet8_narrow"
    config.classifier.channels = 1
    config.patches.mode = "global"
    config.patches.mask_lungs = False
    config.patches.size = 64  # letters and frames are visible at this size, and a training takes half a minute
    config.patches.count = 25  # patches with which the run's own network votes on altered radiographs
    config.training.epochs = 12  # and at least 400 steps (cxrjax/audit/probe.py)
    config.training.batch_size = 32
    config.training.sampler = "balanced"
    config.training.learning_rate = 2e-3
    config.training.schedule = "cosine"
    config.training.warmup_fraction = 0.1
    config.training.ema_decay = 0.95
    config.optimizer.weight_decay = 1e-4
    config.training.metric = "loss"
    config.augmentation.shift = 0.03  # and no flip: the side of a mark is part of what the audit looks for
    config.augmentation.contrast = 0.1
    config.evaluation.batch_size = 32
    return config
