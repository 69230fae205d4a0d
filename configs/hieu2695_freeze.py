"""hieu2695's ResNet34 with a frozen base: only the head learns.

python -m cxrjax.main --config=configs/hieu2695_freeze.py --config.data.directory=DATA --workdir=RUN
Sources: resnet34_freeze.py; else as configs/hieu2695_full.py. Mended: the batch norms of the frozen base drifted.
"""

from ml_collections import ConfigDict

from configs import hieu2695_full


def get_config() -> ConfigDict:
    config = hieu2695_full.get_config()
    config.training.groups = (("backbone", 0.0),)  # resnet34_freeze.py:76-85
    config.training.learning_rate = 1e-3  # resnet34_freeze.py:105; its report says 1e-4
    return config
