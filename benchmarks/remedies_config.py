"""The small classifier of the benchmarks of remedies, whose training takes seconds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxrjax.config import default_config
from cxrjax.inference.loaded_run import load_run
from cxrjax.inference.predictor import Predictor, make_predictor

SIZE = 64  # pixels, side of the radiographs and of the network's input
_NEEDS_LUNGS = {"remedy.surroundings", "patches.mask_lungs", "patches.mode"}  # settings that need a segmenter


def small_classifier(data: Path, seed: int, settings: Mapping[str, Any]) -> Any:
    """Return the config of a training on whole radiographs of SIZE².

    Args:
        data: folder of the data set.
        seed: seed of the training.
        settings: settings of a remedy, by config key.
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


def needs_lungs(settings: Mapping[str, Any]) -> bool:
    """Return whether a training with the settings of a remedy needs a segmenter."""
    return not _NEEDS_LUNGS.isdisjoint(settings)


def load_predictor(workdir: Path) -> Predictor:
    """Load a trained classifier, without its segmenter if only the training needed lungs."""
    run = load_run(workdir, use_ood_detector=False)
    if not run.config.patches.mask_lungs and run.config.patches.mode == "global":
        run = run._replace(spec=run.spec._replace(segmenter=None))
    return make_predictor(run)
