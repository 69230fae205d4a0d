"""A published recipe at a size that two CPU cores can train.

    python -m cxrjax.main --config=benchmarks/reduced.py:RECIPE:VARIANT --workdir=RUN

Each recipe keeps its network, loss, sampling, schedule, optimiser, augmentation and rule of voting. All get the same
budget: `EPOCHS` times the training split, pictures of 64² pixels, at most 16 radiographs a step, no early stopping.

RECIPE:VARIANT begins from random weights, all drawn by the default initializer. A learning rate that was meant
for published ones is then raised to `RATE`, and its penalties are lowered as much, so that a step takes as large a
share of a weight; no group of weights is frozen.
`RECIPE:VARIANT,published` fetches what the recipe begins with, and leaves all that as it is.
"""

from ml_collections import ConfigDict

from cxrjax.config import default_config, recipes

EPOCHS = {"segment": 3, "classify": 6}
RATE = 1e-3  # of Adam, from random weights
RADIOGRAPH = 256  # pixels, side of a standardised radiograph
SIDE = 64  # pixels, of what any network reads: a patch, or a whole radiograph
BATCH = 16
VOTES = 25


def get_config(argument: str) -> ConfigDict:
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
        _begin_at_random(config)
    return config


def _begin_at_random(config: ConfigDict) -> None:
    c = config.training
    config.pretrained = ""
    c.param_groups = tuple((pattern, scale) for pattern, scale in c.param_groups if scale)
    c.unfreeze_epoch = 0
    share = min(1.0, c.learning_rate / RATE)
    c.learning_rate /= share
    c.l1 *= share
    c.l2 *= share
    config.optimizer.weight_decay *= share
