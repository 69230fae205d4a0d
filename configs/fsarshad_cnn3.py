"""fsarshad's third network: twelve convolutions with batch norm and swish.

python -m cxrjax.main --config=configs/fsarshad_cnn3.py --config.data.directory=DATA --workdir=RUN
Sources and deviations: as configs/fsarshad_cnn2.py.
Running variances are the batches' own, as in Flax; those of TensorFlow's fused norm are unbiased estimates.
Cost: 5 minutes of a CPU core at the small size of benchmarks/RECIPES.md; 49.6 million weights there.
Benchmark: macro F1 0.098 (0.083 to 0.111) of findings in the test split, at that size.
"""

from ml_collections import ConfigDict

from configs import fsarshad_cnn2


def get_config() -> ConfigDict:
    config = fsarshad_cnn2.get_config()
    config.classifier.architecture = "fsarshad_cnn3"  # cell 46
    # LeCun normal for convolutions, Glorot normal for the hidden layer, Glorot uniform for the last; cell 46
    config.classifier.initializer = "fsarshad_cnn3"
    config.training.epochs = 30  # cell 47
    config.training.lowest_rate = 1e-8  # cell 47
    return config
