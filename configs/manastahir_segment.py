"""manastahir's Keras re-implementation of Oh et al.: FC-DenseNet103 with strided transitions finds the lungs.

python -m cxrjax.main --config=configs/manastahir_segment.py --config.data.directory=DATA --workdir=RUN
Sources: that repository at bd5efdb. Ours: radiographs are equalised before they are shrunk, not after. Its best network
is the one of the lowest val_loss, which has the penalties in it, up to the epoch of the highest Jaccard index
(ModelCheckpoint, which callback.py:224 copies), and it stops early by val_loss; here both go by the Jaccard index.
Mended: its validation radiographs were its test radiographs, and were augmented.
Running variances are the batches' own, as in Flax; Keras's are unbiased estimates.
Cost: 13 minutes of a CPU core at the small size of benchmarks/RECIPES.md; 9.3 million weights there.
Benchmark: Dice 0.943 (0.940 to 0.946) of lungs in the test split, at that size, of the epoch of the lowest loss.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.task = "segment"
    config.segmenter.architecture = "fc_densenet103_keras"  # models.py:70-93; dropout 0.2 as in base
    config.segmenter.initializer = "he_uniform"  # models.py:14, 51
    config.training.epochs = 100  # config.ini:38
    config.training.batch_size = 2  # config.ini:37
    config.training.learning_rate = 1e-4  # config.ini:41
    config.training.epsilon = 1e-7  # Keras's Adam; train.py:165
    config.training.schedule = "plateau"  # train.py:268
    config.training.plateau_metric = "train/loss"  # train.py:268
    config.training.plateau_patience = 5  # config.ini:61
    config.training.lowest_rate = 1e-8  # config.ini:68
    config.training.l2 = 1e-4  # models.py:14
    config.training.l2_vectors = False  # models.py:14
    config.training.background_weight = 1.0  # binary cross-entropy; train.py:180
    config.training.metric = "jaccard"  # callback.py:220, and generate_masks.py:36 takes its weights
    config.training.patience = 7  # config.ini:65
    config.augmentation.flip = 0.0  # augmenter.py:5 has 0.5, which is right only where the lungs are one label
    return config
