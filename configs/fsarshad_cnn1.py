"""fsarshad's first network: six convolutions learn from nothing on whole radiographs of 256².

python -m cxrjax.main --config=configs/fsarshad_cnn1.py --config.data.directory=DATA --workdir=RUN
Sources: cells of that repository's notebook at 1661369. Ours: margins are cut off, and warped borders
are black, not reflected; the mean that contrast is about is taken before rotation and zoom. Mended: its test
radiographs were augmented, steered the training, and were never shuffled by patient.
Cost: 2 minutes of a CPU core at the small size of benchmarks/RECIPES.md; 14.7 million weights there.
Benchmark: macro F1 0.490 (0.433 to 0.543) of findings in the test split, at that size, contrast about the middle of the
grey range, as in the benchmarks of fsarshad's other networks.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.task = "classify"
    config.image.size = 256  # cell 4
    config.image.gamma = 1.0  # cell 4
    config.image.equalise = False  # cell 4
    config.classifier.architecture = "fsarshad_cnn1"  # cell 25
    config.classifier.initializer = "glorot_uniform"  # Keras's default; cell 25
    config.patches.mode = "global"  # cell 4
    config.patches.masked = False  # it has no segmenter
    config.patches.size = 256  # cell 4
    config.training.epochs = 15  # cell 26
    config.training.batch_size = 32  # cell 24
    config.training.learning_rate = 1e-4  # cell 26
    config.training.epsilon = 1e-7  # Keras's Adam
    config.training.schedule = "constant"  # cell 26
    config.training.metric = "loss"  # ours: it keeps the last epoch, good or not
    config.augmentation.rotation = 27.0  # 0.075 of a turn; cell 10
    config.augmentation.zoom = 0.2  # cell 10
    config.augmentation.shift = 0.1  # cell 10
    config.augmentation.contrast = 0.2  # cell 10
    config.augmentation.contrast_about = "mean"  # Keras's RandomContrast, cell 10
    return config
