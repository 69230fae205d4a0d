"""hieu2695's baseline: a network of two convolutions on whole radiographs of 128².

python -m cxrjax.main --config=configs/hieu2695_baseline.py --config.data.directory=DATA --workdir=RUN
Sources: baseline.py and Helper.py of that repository at d083048. Ours: margins are cut off. Mended:
radiographs of a patient in two splits, batches that were never shuffled again, other findings called pneumonia.
Running variances are the batches' own, as in Flax; PyTorch's are unbiased estimates.
Cost: a minute or less of a CPU core at the small size of benchmarks/RECIPES.md; 0.1 million weights there.
Benchmark: macro F1 0.730 (0.677 to 0.779) of findings in the test split, at that size.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.task = "classify"
    config.image.size = 128  # data_preprocessing.py:18
    config.image.gamma = 1.0  # data_preprocessing.py:13-18
    config.image.equalise = False  # data_preprocessing.py:13-18
    config.classifier.architecture = "hieu2695_baseline"  # baseline.py:69-95
    config.classifier.initializer = "torch"  # PyTorch's defaults; baseline.py:69-95
    config.patches.mode = "global"  # data_preprocessing.py:18
    config.patches.masked = False  # it has no segmenter
    config.patches.size = 128  # data_preprocessing.py:18
    config.training.epochs = 1000  # Helper.py; stopping ends it
    config.training.batch_size = 128  # baseline.py:57
    config.training.learning_rate = 3e-4  # baseline.py:105
    config.training.schedule = "constant"  # Helper.py:44
    config.training.metric = "loss"  # Helper.py:125
    config.training.patience = 3  # Helper.py:138
    return config
