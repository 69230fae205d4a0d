"""The classifier that the benchmarks of remedies train: small, so that a training takes seconds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxrjax.config import default_config

SIZE = 64  # pixels, side of the radiographs and of the network's input


def small_classifier(data: Path, seed: int, settings: Mapping[str, Any]) -> Any:
    """Return the config of a training on whole radiographs of SIZE².

    Args:
        data: folder of the data set.
        seed: of the training.
        settings: "section.name" -> value, those of a remedy.
    """
    config: Any = default_config()
    config.task = "classify"
    config.seed = seed
    config.classifier.architecture = "resnet8_narrow"
    config.classifier.channels = 1
    config.data.dir = str(data)
    config.image.size = SIZE
    config.image.equalize = False
    config.patches.mode = "global"
    config.patches.mask_lungs = False
    config.patches.size = SIZE
    config.training.epochs = 8
    config.training.batch_size = 32
    config.training.learning_rate = 2e-3
    config.training.schedule = "cosine"
    config.training.warmup_fraction = 0.1
    config.training.ema_decay = 0.95
    config.training.metric = "loss"
    config.optimizer.weight_decay = 1e-4
    config.evaluation.batch_size = 32
    config.tracking.trackers = ()
    config.tracking.num_images = 0
    config.update_from_flattened_dict(settings)
    return config
