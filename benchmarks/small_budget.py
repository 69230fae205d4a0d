"""A published recipe at a size that two CPU cores can train.

    python -m cxrjax.main --config=benchmarks/small_budget.py:RECIPE:VARIANT --workdir=RUN

Each recipe keeps its network, loss, sampling, schedule, optimizer, augmentation and voting rule. All get the same
budget: `EPOCHS` epochs, images of 64² pixels, at most 16 radiographs per step, no early stopping.

RECIPE:VARIANT starts from random weights of the default initializer. If the recipe's learning rate is meant for
published weights, it is raised to `RATE`, the penalties are lowered by the same factor, so that a step shrinks a weight
by the same fraction, and no group of weights is frozen. `RECIPE:VARIANT,published` downloads the recipe's initial
weights and leaves these settings unchanged.
"""

from ml_collections import ConfigDict

from cxrjax.config import default_config, recipes

EPOCHS = {"segment": 3, "classify": 6}
RATE = 1e-3  # learning rate of Adam for random weights
RADIOGRAPH = 256  # pixels, side of a standardized radiograph
SIDE = 64  # pixels, side of the input of a network: a patch, or a whole radiograph
BATCH = 16  # maximum batch size
VOTES = 25  # patches per radiograph


def get_config(argument: str) -> ConfigDict:
    """Return the config of RECIPE:VARIANT or RECIPE:VARIANT,published; raise ValueError for another suffix."""
    name, _, weights = argument.partition(",")
    if weights not in ("", "published"):
        raise ValueError(f"{argument!r} is not RECIPE:VARIANT or RECIPE:VARIANT,published")
    config = recipes.load(name)
    c = config.training
    config.image.size = RADIOGRAPH
    if config.task == "segment":
        config.segmenter.size = SIDE
    config.patches.size = SIDE
    config.patches.count = VOTES
    config.patches.count_validation = 5
    c.batch_size = min(c.batch_size, BATCH)
    c.epochs = c.patience = EPOCHS[config.task]
    c.unfreeze_epoch = c.epochs // 2 if c.unfreeze_epoch else 0
    if not weights:
        config.segmenter.initializer = default_config().segmenter.initializer
        config.classifier.initializer = default_config().classifier.initializer
    if config.pretrained and not weights:
        _use_random_weights(config)
    return config


def _use_random_weights(config: ConfigDict) -> None:
    c = config.training
    config.pretrained = ""
    c.param_groups = tuple((pattern, scale) for pattern, scale in c.param_groups if scale)
    c.unfreeze_epoch = 0
    scale = min(1.0, c.learning_rate / RATE)
    c.learning_rate /= scale
    c.l1 *= scale
    c.l2 *= scale
    config.optimizer.weight_decay *= scale
