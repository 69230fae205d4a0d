"""Oh, Park & Ye 2020: FC-DenseNet103 segments the lungs, and ResNet18 votes on patches of them.

python -m cxrjax.main --config=configs/oh2020.py:segment --config.data.dir=DATA --workdir=SEGMENTER_RUN
python -m cxrjax.main --config=configs/oh2020.py:classify \
    --config.data.dir=DATA --config.segmenter.workdir=SEGMENTER_RUN --workdir=RUN
Sources: the paper, IEEE TMI 39(8), and "original", its authors' code.
Difference from the original: running variances are those of the batches, as in Flax; PyTorch's are unbiased estimates.
"""

from ml_collections import ConfigDict

from cxrjax.config import LABELS, default_config, imagenet_address, select_variant


def get_config(variant: str = "") -> ConfigDict:
    """Return the config of a variant: "segment" or "classify"."""
    return select_variant(variant, segment, classify)


def segment() -> ConfigDict:
    """Section II-B: FC-DenseNet103 at 256² segments heart, left and right lung.

    Cost: at full size a GPU (about three seconds per step on two CPU cores); 11 minutes of a CPU core at the small size
    of benchmarks/RECIPES.md, with 9.3 million weights.
    Benchmark: Dice 0.933 (0.929 to 0.936) of the lungs on the test split, at that size.
    """
    config = default_config()
    config.task = "segment"
    config.segmenter.initializer = "torch"  # original segmentation/layers.py and model.py: PyTorch's defaults
    config.training.batch_size = 2  # original segmentation/header.py
    config.training.learning_rate = 1e-4  # original segmentation/header.py
    config.optimizer.weight_decay = 1e-6  # original segmentation/train.py
    config.training.milestones = (0.7, 0.8, 0.9)  # epochs 70, 80, 90 of 100; original segmentation/train.py
    config.training.metric = "jaccard"  # mean of heart, left and right lung; original segmentation/train.py
    config.training.patience = 100  # the original never stops early
    return config


def classify() -> ConfigDict:
    """Section II-C: ResNet18 votes on 100 patches of 224² from the lungs of a 1024² radiograph.

    It starts from ImageNet weights, which are downloaded; with random weights (--config.pretrained=) set a higher
    learning rate. The initializer draws the last layer, and without ImageNet weights the whole network.
    Differences from the original: five classes, where the original counts viral pneumonia and COVID-19 as one.
    Corrected: ImageNet's mean and standard deviation were not applied; patches reached beyond the lungs; validation was
    balanced; a worse score restarted the patience.
    Cost: at full size a GPU (about two seconds per step on two CPU cores); 3 minutes of a CPU core at the small size of
    benchmarks/RECIPES.md, with 11.2 million weights.
    Benchmark: macro F1 0.257 (0.225 to 0.287) of the labels on the test split, at that size.
    """
    config = default_config()
    config.task = "classify"
    config.classifier.classes = LABELS  # paper table I
    config.pretrained = imagenet_address("resnet18")  # original classification/train.py
    config.classifier.normalization = "imagenet"  # ours, see above
    config.classifier.initializer = "torchvision"  # original utils/utils.py: torchvision's ResNet18, a new nn.Linear
    config.training.sampler = "balanced"  # original classification/header.py; here in training only
    config.optimizer.weight_decay = 0.1  # original classification/train.py
    config.training.l1 = 1e-5  # original classification/header.py
    config.training.metric = "macro_f1"  # original classification/train.py
    config.saliency.scaling = "range"  # GradCAM of original classification/visualize_cnn.py
    config.augmentation.flip_horizontal = 0.5  # original utils/utils.py
    config.augmentation.rotation = 5.0  # original utils/utils.py
    return config
