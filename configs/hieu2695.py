"""hieu2695's cost-sensitive training on whole radiographs of 128²: a baseline, its variants, and pretrained networks.

python -m cxrjax.main --config=configs/hieu2695.py:VARIANT --config.data.dir=DATA --workdir=RUN
Sources: files of that repository at d083048.
Differences from the original: margins are cut off; running variances are those of the batches, as in Flax, where
PyTorch's are unbiased estimates.
Corrected: radiographs of a patient in two splits, batches that were never shuffled again, other labels called
pneumonia.
Cost and benchmark: at the small size of benchmarks/RECIPES.md; macro F1 of the labels on the test split.
"""

from ml_collections import ConfigDict

from cxrjax.config import LABELS, default_config, imagenet_address, select_variant


def get_config(variant: str = "") -> ConfigDict:
    """Return the config of a variant: one of the functions below."""
    return select_variant(
        variant, baseline, focal, weighted, oversampled, full, freeze, resnet34, groups, densenet121, vgg16
    )


def baseline() -> ConfigDict:
    """A network of two convolutions.

    Sources: baseline.py and Helper.py.
    Cost: a minute or less of a CPU core, with 0.1 million weights.
    Benchmark: macro F1 0.730 (0.677 to 0.779).
    """
    config = default_config()
    config.task = "classify"
    config.classifier.classes = LABELS  # ours: those of Oh et al. 2020
    config.image.size = 128  # data_preprocessing.py:18
    config.image.gamma = 1.0  # data_preprocessing.py:13-18
    config.image.equalize = False  # data_preprocessing.py:13-18
    config.classifier.architecture = "hieu2695_baseline"  # baseline.py:69-95
    config.classifier.initializer = "torch"  # PyTorch's defaults; baseline.py:69-95
    config.patches.mode = "global"  # data_preprocessing.py:18
    config.patches.mask_lungs = False  # it has no segmenter
    config.patches.size = 128  # data_preprocessing.py:18
    config.training.epochs = 1000  # Helper.py; early stopping ends it
    config.training.batch_size = 128  # baseline.py:57
    config.training.learning_rate = 3e-4  # baseline.py:105
    config.training.schedule = "constant"  # Helper.py:44
    config.training.metric = "loss"  # Helper.py:125
    config.training.patience = 3  # Helper.py:138
    return config


def focal() -> ConfigDict:
    """The baseline with the focal loss.

    Sources: baseline_focalloss.py; the rest as `baseline`.
    Cost: a minute or less of a CPU core, with 0.1 million weights.
    Benchmark: macro F1 0.718 (0.661 to 0.769).
    """
    config = baseline()
    config.training.loss = "focal"  # gamma 2, alpha 1, which are the defaults; baseline_focalloss.py:55
    return config


def weighted() -> ConfigDict:
    """The baseline with classes weighted by their sizes.

    Sources: baseline_weights.py; the rest as `baseline`.
    Cost: a minute or less of a CPU core, with 0.1 million weights.
    Benchmark: macro F1 0.703 (0.646 to 0.754).
    """
    config = baseline()
    config.training.class_weights = ("inverse",)  # baseline_weights.py:47
    return config


def oversampled() -> ConfigDict:
    """The baseline with the rarest class sampled more often, and augmented.

    Sources: baseline_oversampling.py; the rest as `baseline`.
    Difference from the original: images are enlarged by linear interpolation, not by nearest neighbors.
    Cost: a minute or less of a CPU core, with 0.1 million weights.
    Benchmark: macro F1 0.511 (0.453 to 0.561), with all examples augmented.
    """
    config = baseline()
    config.training.sampler = "oversample"  # baseline_oversampling.py:82; 5 times more, which is the default
    config.training.augment = "copies"  # baseline_oversampling.py:86-88
    config.training.batch_size = 256  # baseline_oversampling.py:86
    config.augmentation.flip_horizontal = 0.5  # baseline_oversampling.py:66-74
    config.augmentation.flip_vertical = 0.5  # baseline_oversampling.py:66-74
    config.augmentation.rotation = 10.0  # baseline_oversampling.py:66-74
    config.augmentation.random_crop = 0.147  # 128 of 150; baseline_oversampling.py:66-74
    return config


def full() -> ConfigDict:
    """ResNet34: ImageNet weights, all of them trained.

    Sources: resnet34_entire.py; the rest as `baseline`. The initializer draws the head, and without ImageNet weights
    the whole network.
    Corrected: ImageNet's mean and standard deviation were not applied.
    Cost: 3 minutes of a CPU core, with 21.3 million weights.
    Benchmark: macro F1 0.682 (0.623 to 0.734).
    """
    config = baseline()
    config.pretrained = imagenet_address("resnet34")  # resnet34_entire.py:92
    config.pretrained_head = "fresh"  # resnet34_entire.py:101
    config.classifier.architecture = "resnet34"  # resnet34_entire.py:92
    config.classifier.initializer = "torchvision"  # its ResNet34, with a new nn.Linear; resnet34_entire.py:92-101
    config.classifier.normalization = "imagenet"  # ours, see above
    config.training.learning_rate = 1e-5  # resnet34_entire.py:103
    return config


def freeze() -> ConfigDict:
    """ResNet34 with a frozen backbone: only the head trains.

    Sources: resnet34_freeze.py; the rest as `full`.
    Corrected: the batch norms of the frozen backbone drifted.
    """
    config = full()
    config.training.param_groups = (("backbone", 0.0),)  # resnet34_freeze.py:76-85
    config.training.learning_rate = 1e-3  # resnet34_freeze.py:105; its report says 1e-4
    return config


def resnet34() -> ConfigDict:
    """The final method: ResNet34, first the head only, then all of it at a tenth of the rate.

    Sources: resnet34_cs_fc.py and resnet34_cs_full.py; the rest as `full`.
    Differences from the original: one of its epochs is five of ours, and its patience is 15 here. It unfreezes the
    backbone when the first stage stops, at the best of its epochs, published as 26, which is 130 of ours; here at that
    number. Of the five parts of its second stage one is not augmented; here this is drawn for each example.
    Cost: 3 minutes of a CPU core, with 21.5 million weights.
    Benchmark: macro F1 0.667 (0.609 to 0.721), with a random crop enlarged to the full size in training and no crop
    elsewhere, all examples augmented.
    """
    config = full()
    config.classifier.head = "hidden"  # resnet34_cs_fc.py:111-118
    config.patches.center_crop = 0.0625  # 120 of 128, at a random place in training; resnet34_cs_fc.py:53,64
    config.patches.size = 120  # resnet34_cs_fc.py:53,64
    config.training.class_weights = ("inverse",)  # resnet34_cs_fc.py
    config.training.batch_size = 256  # resnet34_cs_fc.py:72
    config.training.learning_rate = 1e-4  # resnet34_cs_fc.py:126
    config.training.param_groups = (("backbone", 0.0),)  # resnet34_cs_fc.py:111
    config.training.unfreeze_epoch = 130  # see above
    config.training.unfreeze_augment_scale = 0.8  # four parts of five; resnet34_cs_full.py:76-78
    config.training.patience = 15  # see above
    config.augmentation.flip_horizontal = 0.5  # resnet34_cs_fc.py
    config.augmentation.rotation = 15.0  # resnet34_cs_fc.py
    return config


def groups() -> ConfigDict:
    """ResNet34 with a learning rate for each group of layers.

    Sources: resnet34_diff_lr.py; the rest as `resnet34`.
    Corrected: the backbone was frozen, so that no group but the head had any effect.
    Cost: 3 minutes of a CPU core, with 21.5 million weights.
    Benchmark: macro F1 0.676 (0.618 to 0.725), cropped and augmented as that of `resnet34`.
    """
    config = resnet34()
    # resnet34_diff_lr.py:126-138
    config.training.param_groups = (
        ("backbone/(conv1|bn1)", 1 / 10),
        ("backbone/layer[12]_", 1 / 7),
        ("backbone/layer[34]_", 1 / 3),
    )
    config.training.unfreeze_epoch = 0  # nothing is frozen
    config.training.unfreeze_augment_scale = 1.0  # there is one stage
    config.training.augment_probability = 0.8  # four parts of five; resnet34_diff_lr.py:73-75
    return config


def densenet121() -> ConfigDict:
    """The final method with DenseNet121.

    Sources: densenet_cs_fc.py and densenet_cs_full.py; the rest as `resnet34`. The initializer draws the head only.
    Cost: 6 minutes of a CPU core, with 7.5 million weights.
    Benchmark: macro F1 0.547 (0.505 to 0.587), cropped and augmented as that of `resnet34`.
    """
    config = resnet34()
    config.pretrained = imagenet_address("densenet121")  # densenet_cs_fc.py:84
    config.classifier.architecture = "densenet121"  # densenet_cs_fc.py:84
    config.classifier.initializer = "torch"  # of the head only: a new nn.Linear twice; densenet_cs_fc.py:86-90
    config.training.learning_rate = 3e-4  # densenet_cs_fc.py:99
    return config


def vgg16() -> ConfigDict:
    """The final method with VGG16, whose two layers of 4096 are frozen at first too.

    Sources: VGG_cs_fc.py and VGG_cs_full.py; the rest as `resnet34`. With ImageNet weights, the initializer draws
    only the two last layers, as in the original; without, it draws the whole head.
    Cost: 8 minutes of a CPU core, with 136.4 million weights.
    Benchmark: macro F1 0.086 (0.073 to 0.098), cropped and augmented as that of `resnet34`.
    """
    config = resnet34()
    config.pretrained = imagenet_address("vgg16")  # VGG_cs_fc.py:88
    config.classifier.architecture = "vgg16"  # VGG_cs_fc.py:88
    config.classifier.head = "vgg_hidden"  # VGG_cs_fc.py:88-94
    config.classifier.initializer = "torch"  # of the two last layers: a new nn.Linear twice; VGG_cs_fc.py:89-93
    config.training.param_groups = (("backbone", 0.0), ("head/linear_[01]/", 0.0))  # VGG_cs_fc.py:96-100
    return config
