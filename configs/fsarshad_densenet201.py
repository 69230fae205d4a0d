"""fsarshad's DenseNet201: a frozen base of ImageNet's weights under a new head.

python -m cxrjax.main --config=configs/fsarshad_densenet201.py --config.data.directory=DATA --workdir=RUN
Sources: code/transfer_densenet201.py of that repository at 1661369; else as configs/fsarshad_vgg19.py. The network is
torchvision's, whose epsilon Keras has otherwise.
Cost: 14 minutes of a CPU core at the small size of benchmarks/RECIPES.md; 88.9 million weights there.
Benchmark: macro F1 0.554 (0.492 to 0.610) of findings in the test split, at that size.
"""

from ml_collections import ConfigDict

from configs import base, fsarshad_vgg19


def get_config() -> ConfigDict:
    config = fsarshad_vgg19.get_config()
    config.init = base.IMAGENET.format("densenet201")  # transfer_densenet201.py
    config.classifier.architecture = "densenet201"  # transfer_densenet201.py
    config.classifier.head = "flat"  # transfer_densenet201.py
    return config
