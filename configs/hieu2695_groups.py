"""hieu2695's ResNet34 with a learning rate for each group of layers.

python -m cxrjax.main --config=configs/hieu2695_groups.py --config.data.directory=DATA --workdir=RUN
Sources: resnet34_diff_lr.py; else as configs/hieu2695_resnet34.py. Mended: the base was frozen, so that no group but
the head did anything.
Cost: 3 minutes of a CPU core at the small size of benchmarks/RECIPES.md; 21.5 million weights there.
Benchmark: macro F1 0.676 (0.618 to 0.725) of findings in the test split, at that size, cropped and augmented as that of
configs/hieu2695_resnet34.py.
"""

from ml_collections import ConfigDict

from configs import hieu2695_resnet34


def get_config() -> ConfigDict:
    config = hieu2695_resnet34.get_config()
    # resnet34_diff_lr.py:126-138
    config.training.groups = (
        ("backbone/(conv1|bn1)", 1 / 10),
        ("backbone/layer[12]_", 1 / 7),
        ("backbone/layer[34]_", 1 / 3),
    )
    config.training.unfreeze_epoch = 0  # nothing is frozen
    config.training.unfreeze_augmented = 1.0  # there is one stage
    config.training.augmented = 0.8  # four parts of five; resnet34_diff_lr.py:73-75
    return config
