"""fsarshad's six networks on whole radiographs: three trained from random weights, three on frozen ImageNet weights.

python -m cxrjax.main --config=configs/fsarshad.py:VARIANT --config.data.dir=DATA --workdir=RUN
Sources: cells of that repository's notebook at 1661369; of vgg19, resnet101 and densenet201 its code/transfer_*.py.
Differences from the original: margins are cut off, and warped borders are black, not reflected; the mean that contrast
is about is computed before rotation and zoom.
Corrected: its test radiographs were augmented, influenced the training, and were never shuffled by patient.
Cost and benchmark: at the small size of benchmarks/RECIPES.md; macro F1 of the labels on the test split, with contrast
about the middle of the gray range.
"""

from ml_collections import ConfigDict

from cxrjax.config import LABELS, default_config, imagenet_address, select_variant


def get_config(variant: str = "") -> ConfigDict:
    """Return the config of a variant: "cnn1", "cnn2", "cnn3", "vgg19", "resnet101" or "densenet201"."""
    return select_variant(variant, cnn1, cnn2, cnn3, vgg19, resnet101, densenet201)


def cnn1() -> ConfigDict:
    """The first network: six convolutions, trained from random weights on whole radiographs of 256².

    Cost: 2 minutes of a CPU core, with 14.7 million weights.
    Benchmark: macro F1 0.490 (0.433 to 0.543).
    """
    config = default_config()
    config.task = "classify"
    config.classifier.classes = LABELS  # ours: those of Oh et al. 2020
    config.image.size = 256  # cell 4
    config.image.gamma = 1.0  # cell 4
    config.image.equalize = False  # cell 4
    config.classifier.architecture = "fsarshad_cnn1"  # cell 25
    config.classifier.initializer = "glorot_uniform"  # Keras's default; cell 25
    config.patches.mode = "global"  # cell 4
    config.patches.mask_lungs = False  # it has no segmenter
    config.patches.size = 256  # cell 4
    config.training.epochs = 15  # cell 26
    config.training.batch_size = 32  # cell 24
    config.training.learning_rate = 1e-4  # cell 26
    config.optimizer.eps = 1e-7  # Keras's Adam
    config.training.schedule = "constant"  # cell 26
    config.training.metric = "loss"  # ours: the original keeps the last epoch, whatever its score
    config.augmentation.rotation = 27.0  # 0.075 of a turn; cell 10
    config.augmentation.scale = 0.2  # cell 10
    config.augmentation.shift = 0.1  # cell 10
    config.augmentation.contrast = 0.2  # cell 10
    config.augmentation.contrast_about = "mean"  # Keras's RandomContrast, cell 10
    return config


def cnn2() -> ConfigDict:
    """The second network: ten convolutions with GELU and dropout; the rest as `cnn1`.

    Corrected: the rate of 1e-4 was silently ignored there, and 1e-3 used.
    Cost: 3 minutes of a CPU core, with 27.1 million weights.
    Benchmark: macro F1 0.545 (0.496 to 0.585).
    """
    config = cnn1()
    config.classifier.architecture = "fsarshad_cnn2"  # cell 39
    config.classifier.initializer = "fsarshad_cnn2"  # He normal, but the last layer Glorot uniform; cell 39
    config.training.epochs = 10  # cell 40
    config.training.batch_size = 16  # cell 38
    config.optimizer.clip_param_norm = 1.0  # cell 39
    config.training.l2 = 1e-3  # cell 39; there of all kernels but the last, here of that too
    config.training.l2_bias_and_norm = False  # cell 39
    config.training.schedule = "plateau"  # cell 40
    config.training.plateau_metric = "val/loss"  # cell 40
    config.training.plateau_patience = 5  # cell 40
    config.training.min_lr = 1e-6  # cell 40
    config.training.patience = 10  # cell 40
    return config


def cnn3() -> ConfigDict:
    """The third network: twelve convolutions with batch norm and swish; the rest as `cnn2`.

    Difference from the original: running variances are those of the batches, as in Flax; those of TensorFlow's fused
    norm are unbiased estimates.
    Cost: 5 minutes of a CPU core, with 49.6 million weights.
    Benchmark: macro F1 0.098 (0.083 to 0.111).
    """
    config = cnn2()
    config.classifier.architecture = "fsarshad_cnn3"  # cell 46
    # LeCun normal for convolutions, Glorot normal for the hidden layer, Glorot uniform for the last; cell 46
    config.classifier.initializer = "fsarshad_cnn3"
    config.training.epochs = 30  # cell 47
    config.training.min_lr = 1e-8  # cell 47
    return config


def vgg19() -> ConfigDict:
    """VGG19: a new head on a frozen backbone with ImageNet weights, on whole radiographs of 192².

    Sources: code/transfer_vgg19.py, whose lines are given below; data and augmentation as `cnn1`. The initializer, that
    of `cnn1`, draws the head only.
    Corrected: the frozen backbone was fed gray levels in 0..1, not what its weights were trained on.
    Cost: 7 minutes of a CPU core, with 38.9 million weights.
    Benchmark: macro F1 0.388 (0.340 to 0.434).
    """
    config = cnn1()
    config.pretrained = imagenet_address("vgg19")  # line 6
    config.pretrained_head = "fresh"  # line 8
    config.image.size = 192  # line 6
    config.patches.size = 192  # line 6
    config.classifier.architecture = "vgg19"  # line 6
    config.classifier.head = "flat"  # 1024 units, ReLU; lines 10-14
    config.classifier.normalization = "imagenet"  # ours, see above
    config.training.param_groups = (("backbone", 0.0),)  # line 8
    config.optimizer.name = "sgd"  # line 28; Keras's SGD has no momentum
    config.optimizer.b1 = 0.0  # line 28
    config.training.learning_rate = 0.01  # line 28
    config.training.epochs = 20  # line 35
    config.training.batch_size = 16  # cell 38, whose batches cell 57 trains on
    config.training.schedule = "plateau"  # line 30
    config.training.plateau_metric = "val/accuracy"  # line 30
    config.training.plateau_patience = 2  # line 30
    config.training.lr_factor = 0.5  # line 30
    config.training.min_lr = 1e-3  # line 30
    config.training.metric = "accuracy"  # line 33
    return config


def resnet101() -> ConfigDict:
    """ResNet101: a new head on a frozen backbone with ImageNet weights.

    Sources: code/transfer_resnet101.py; the rest as `vgg19`. The network is torchvision's; strides, biases and epsilon
    of Keras's differ.
    Cost: 6 minutes of a CPU core, with 42.5 million weights.
    Benchmark: macro F1 0.309 (0.272 to 0.343).
    """
    config = vgg19()
    config.pretrained = imagenet_address("resnet101")  # transfer_resnet101.py
    config.classifier.architecture = "resnet101"  # transfer_resnet101.py
    config.classifier.head = "linear"  # transfer_resnet101.py
    config.training.plateau_patience = 3  # transfer_resnet101.py:27-33
    return config


def densenet201() -> ConfigDict:
    """DenseNet201: a new head on a frozen backbone with ImageNet weights.

    Sources: code/transfer_densenet201.py; the rest as `vgg19`. The network is torchvision's; the epsilon of Keras's
    differs.
    Cost: 14 minutes of a CPU core, with 88.9 million weights.
    Benchmark: macro F1 0.554 (0.492 to 0.610).
    """
    config = vgg19()
    config.pretrained = imagenet_address("densenet201")  # transfer_densenet201.py
    config.classifier.architecture = "densenet201"  # transfer_densenet201.py
    config.classifier.head = "flat"  # transfer_densenet201.py
    return config
