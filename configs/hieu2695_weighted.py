"""hieu2695's baseline with the classes weighted by their numbers.

python -m cxrjax.main --config=configs/hieu2695_weighted.py --config.data.directory=DATA --workdir=RUN
Sources: baseline_weights.py; else as configs/hieu2695_baseline.py.
"""

from ml_collections import ConfigDict

from configs import hieu2695_baseline


def get_config() -> ConfigDict:
    config = hieu2695_baseline.get_config()
    config.training.class_weights = ("inverse",)  # baseline_weights.py:47
    return config
