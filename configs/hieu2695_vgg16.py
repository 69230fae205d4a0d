"""hieu2695's final method with VGG16, whose two layers of 4096 are frozen at first too.

python -m cxrjax.main --config=configs/hieu2695_vgg16.py --config.data.directory=DATA --workdir=RUN
Sources: VGG_cs_fc.py and VGG_cs_full.py; else as configs/hieu2695_resnet34.py.
The initializer draws the whole head, also the two layers of 4096, which are ImageNet's there.
Cost: 8 minutes of a CPU core at the small size of benchmarks/RECIPES.md; 136.4 million weights there.
Benchmark: macro F1 0.086 (0.073 to 0.098) of findings in the test split, at that size, cropped and augmented as that of
configs/hieu2695_resnet34.py.
"""

from ml_collections import ConfigDict

from configs import base, hieu2695_resnet34


def get_config() -> ConfigDict:
    config = hieu2695_resnet34.get_config()
    config.init = base.IMAGENET.format("vgg16")  # VGG_cs_fc.py:88
    config.classifier.architecture = "vgg16"  # VGG_cs_fc.py:88
    config.classifier.head = "vgg_hidden"  # VGG_cs_fc.py:88-94
    config.classifier.initializer = "torch"  # of the head alone: a new nn.Linear twice; VGG_cs_fc.py:89-93
    config.training.groups = (("backbone", 0.0), ("head/linear_[01]/", 0.0))  # VGG_cs_fc.py:96-100
    return config
