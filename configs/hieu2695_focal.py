"""hieu2695's baseline with the focal loss.

python -m cxrjax.main --config=configs/hieu2695_focal.py --config.data.directory=DATA --workdir=RUN
Sources: baseline_focalloss.py; else as configs/hieu2695_baseline.py.
Cost: a minute or less of a CPU core at the small size of benchmarks/RECIPES.md; 0.1 million weights there.
Benchmark: macro F1 0.718 (0.661 to 0.769) of findings in the test split, at that size.
"""

from ml_collections import ConfigDict

from configs import hieu2695_baseline


def get_config() -> ConfigDict:
    config = hieu2695_baseline.get_config()
    config.training.loss = "focal"  # gamma 2, alpha 1 as in base; baseline_focalloss.py:55
    return config
