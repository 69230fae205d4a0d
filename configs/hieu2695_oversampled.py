"""hieu2695's baseline with the rarest class seen more often, and augmented.

python -m cxrjax.main --config=configs/hieu2695_oversampled.py --config.data.directory=DATA --workdir=RUN
Sources: baseline_oversampling.py; else as configs/hieu2695_baseline.py. Its enlargement is linear, not nearest.
Cost: a minute or less of a CPU core at the small size of benchmarks/RECIPES.md; 0.1 million weights there.
Benchmark: macro F1 0.511 (0.453 to 0.561) of findings in the test split, at that size, with all examples augmented.
"""

from ml_collections import ConfigDict

from configs import hieu2695_baseline


def get_config() -> ConfigDict:
    config = hieu2695_baseline.get_config()
    config.training.sampling = "oversampled"  # baseline_oversampling.py:82; 5 times more, as in base
    config.training.augment = "copies"  # baseline_oversampling.py:86-88
    config.training.batch_size = 256  # baseline_oversampling.py:86
    config.augmentation.flip = 0.5  # baseline_oversampling.py:66-74
    config.augmentation.upend = 0.5  # baseline_oversampling.py:66-74
    config.augmentation.rotation = 10.0  # baseline_oversampling.py:66-74
    config.augmentation.crop = 0.147  # 128 of 150; baseline_oversampling.py:66-74
    return config
