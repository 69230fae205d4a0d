"""fsarshad's second network: ten convolutions with GELU and dropout.

python -m cxrjax.main --config=configs/fsarshad_cnn2.py --config.data.directory=DATA --workdir=RUN
Sources and deviations: as configs/fsarshad_cnn1.py. Mended: the rate of 1e-4 was silently ignored there, and 1e-3 used.
Cost: 3 minutes of a CPU core at the small size of benchmarks/RECIPES.md; 27.1 million weights there.
Benchmark: macro F1 0.545 (0.496 to 0.585) of findings in the test split, at that size.
"""

from ml_collections import ConfigDict

from configs import fsarshad_cnn1


def get_config() -> ConfigDict:
    config = fsarshad_cnn1.get_config()
    config.classifier.architecture = "fsarshad_cnn2"  # cell 39
    config.classifier.initializer = "fsarshad_cnn2"  # He normal, but the last layer Glorot uniform; cell 39
    config.training.epochs = 10  # cell 40
    config.training.batch_size = 16  # cell 38
    config.training.clip = 1.0  # cell 39
    config.training.l2 = 1e-3  # cell 39; of all kernels but the last, here of that too
    config.training.l2_vectors = False  # cell 39
    config.training.schedule = "plateau"  # cell 40
    config.training.plateau_metric = "val/loss"  # cell 40
    config.training.plateau_patience = 5  # cell 40
    config.training.lowest_rate = 1e-6  # cell 40
    config.training.patience = 10  # cell 40
    return config
