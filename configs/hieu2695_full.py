"""hieu2695's ResNet34: ImageNet's weights, all of them trained, on whole radiographs of 128².

python -m cxrjax.main --config=configs/hieu2695_full.py --config.data.directory=DATA --workdir=RUN
Sources: resnet34_entire.py; else as configs/hieu2695_baseline.py. Mended: ImageNet's mean and deviation, left out
there. The initializer draws the head, and without ImageNet's weights the whole network.
Cost: 3 minutes of a CPU core at the small size of benchmarks/RECIPES.md; 21.3 million weights there.
Benchmark: macro F1 0.682 (0.623 to 0.734) of findings in the test split, at that size.
"""

from ml_collections import ConfigDict

from configs import base, hieu2695_baseline


def get_config() -> ConfigDict:
    config = hieu2695_baseline.get_config()
    config.init = base.IMAGENET.format("resnet34")  # resnet34_entire.py:92
    config.init_head = "fresh"  # resnet34_entire.py:101
    config.classifier.architecture = "resnet34"  # resnet34_entire.py:92
    config.classifier.initializer = "torchvision"  # its ResNet34, with a new nn.Linear; resnet34_entire.py:92-101
    config.classifier.normalise = "imagenet"  # ours, see above
    config.training.learning_rate = 1e-5  # resnet34_entire.py:103
    return config
