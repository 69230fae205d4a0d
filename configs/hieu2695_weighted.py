"""hieu2695's baseline with the classes weighted by their numbers.

python -m cxrjax.main --config=configs/hieu2695_weighted.py --config.data.directory=DATA --workdir=RUN
Sources: baseline_weights.py; else as configs/hieu2695_baseline.py.
Cost: a minute or less of a CPU core at the small size of benchmarks/RECIPES.md; 0.1 million weights there.
Benchmark: macro F1 0.703 (0.646 to 0.754) of findings in the test split, at that size.
"""

from ml_collections import ConfigDict

from configs import hieu2695_baseline


def get_config() -> ConfigDict:
    config = hieu2695_baseline.get_config()
    config.training.class_weights = ("inverse",)  # baseline_weights.py:47
    return config
