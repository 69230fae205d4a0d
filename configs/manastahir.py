"""manastahir's Keras reimplementation of Oh et al.: a segmenter and a classifier of patches.

python -m cxrjax.main --config=configs/manastahir.py:segment --config.data.dir=DATA --workdir=SEGMENTER_RUN
python -m cxrjax.main --config=configs/manastahir.py:classify \
    --config.data.dir=DATA --config.segmenter.workdir=SEGMENTER_RUN --workdir=RUN
Sources: files of that repository at bd5efdb.
Difference from the original: running variances are those of the batches, as in Flax; Keras's are unbiased estimates.
"""

from ml_collections import ConfigDict

from cxrjax.config import LABELS, default_config, imagenet_address, select_variant


def get_config(variant: str = "") -> ConfigDict:
    """Return the config of a variant: "segment" or "classify"."""
    return select_variant(variant, segment, classify)


def segment() -> ConfigDict:
    """FC-DenseNet103 with strided transitions segments the lungs.

    Differences from the original: radiographs are equalized before they are downsampled, not after. Its best network is
    the one of the lowest val_loss, which includes the penalties, up to the epoch of the highest Jaccard index
    (ModelCheckpoint, which callback.py:224 copies), and it stops early by val_loss; here both use the Jaccard index.
    Corrected: its validation radiographs were its test radiographs, and were augmented.
    Cost: 13 minutes of a CPU core at the small size of benchmarks/RECIPES.md, with 9.3 million weights.
    Benchmark: Dice 0.943 (0.940 to 0.946) of the lungs on the test split, at that size, for the epoch of the lowest
    loss.
    """
    config = default_config()
    config.task = "segment"
    config.segmenter.architecture = "fc_densenet103_keras"  # models.py:70-93; dropout 0.2, which is the default
    config.segmenter.initializer = "he_uniform"  # models.py:14, 51
    config.training.epochs = 100  # config.ini:38
    config.training.batch_size = 2  # config.ini:37
    config.training.learning_rate = 1e-4  # config.ini:41
    config.optimizer.eps = 1e-7  # Keras's Adam; train.py:165
    config.training.schedule = "plateau"  # train.py:268
    config.training.plateau_metric = "train/loss"  # train.py:268
    config.training.plateau_patience = 5  # config.ini:61
    config.training.min_lr = 1e-8  # config.ini:68
    config.training.l2 = 1e-4  # models.py:14
    config.training.l2_bias_and_norm = False  # models.py:14
    config.training.background_weight = 1.0  # binary cross-entropy; train.py:180
    config.training.metric = "jaccard"  # callback.py:220, and generate_masks.py:36 uses its weights
    config.training.patience = 7  # config.ini:65
    config.augmentation.flip_horizontal = 0.0  # augmenter.py:5 has 0.5, correct only if the lungs are one label
    return config


def classify() -> ConfigDict:
    """ResNet18 on patches of 256² of a 1024² radiograph.

    Differences from the original: one patch per radiograph and step with its own cross-entropy, where the original has
    a bag of twenty and takes the softmax of the sum of their softmaxes; one linear layer, not two in a row; patches
    that reach beyond the radiograph; lungs cut out by a binary mask, where the original multiplies the radiograph by
    their probability; torchvision's ResNet18 and its weights, where the original has `resnet18_keras` with weights of
    MXNet. Its best network is the one of the lowest val_loss, which includes the penalties, up to the epoch of the
    highest AUROC (ModelCheckpoint, which callback.py:84 copies), and it stops early by val_loss; here both use the
    AUROC. The initializer draws the last layer only; the original draws convolutions without weights as he_uniform.
    Corrected: patch centers outside the lungs, augmented validation, patients in two splits, a sum of softmaxes called
    a vote.
    Cost: 5 minutes of a CPU core at the small size of benchmarks/RECIPES.md, with 11.2 million weights.
    Benchmark: macro F1 0.271 (0.233 to 0.305) of the labels on the test split, at that size, for the epoch of the
    lowest loss.
    """
    config = default_config()
    config.task = "classify"
    config.classifier.classes = LABELS  # ours: those of Oh et al. 2020
    config.pretrained = imagenet_address("resnet18")  # models.py:97
    config.classifier.normalization = "imagenet"  # utils.py:76-85
    config.classifier.initializer = "glorot_uniform"  # Keras's Dense; models.py:110-111
    config.patches.size = 256  # config.ini:122
    config.patches.count = 20  # config.ini:164; its README says 25
    config.voting.aggregation = "mean_probability"  # equal to the largest sum of softmaxes; models.py:131
    config.training.epochs = 100  # config.ini:110
    config.training.batch_size = 4  # config.ini:109
    config.training.learning_rate = 1e-4  # config.ini:113
    config.optimizer.eps = 1e-7  # Keras's Adam; train.py:165
    config.training.schedule = "plateau"  # train.py:268
    config.training.plateau_metric = "train/loss"  # train.py:268
    config.training.plateau_patience = 3  # config.ini:136
    config.training.min_lr = 1e-8  # train.py:268
    config.training.l1 = 1e-4  # models.py:115, there of kernels and their biases; here of all parameters
    config.training.l2 = 1e-4  # models.py:115
    config.training.l2_bias_and_norm = False  # no batch norm, models.py:115; there with the biases of the last layers
    config.training.metric = "macro_auroc"  # callback.py:80, and config.ini:167 uses its weights
    config.training.patience = 7  # config.ini:140
    config.augmentation.flip_horizontal = 0.5  # augmenter.py:5, here in training only
    return config
