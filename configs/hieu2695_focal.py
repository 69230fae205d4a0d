"""hieu2695's baseline with the focal loss.

python -m cxrjax.main --config=configs/hieu2695_focal.py --config.data.directory=DATA --workdir=RUN
Sources: baseline_focalloss.py; else as configs/hieu2695_baseline.py.
"""

from ml_collections import ConfigDict

from configs import hieu2695_baseline


def get_config() -> ConfigDict:
    config = hieu2695_baseline.get_config()
    config.training.loss = "focal"  # gamma 2, alpha 1 as in base; baseline_focalloss.py:55
    return config
