"""fsarshad's ResNet101: a frozen base of ImageNet's weights under a new head.

python -m cxrjax.main --config=configs/fsarshad_resnet101.py --config.data.directory=DATA --workdir=RUN
Sources: code/transfer_resnet101.py of that repository at 1661369; else as configs/fsarshad_vgg19.py. The network is
torchvision's, whose strides, biases and epsilon Keras has otherwise.
Cost: 6 minutes of a CPU core at the small size of benchmarks/RECIPES.md; 42.5 million weights there.
Benchmark: macro F1 0.309 (0.272 to 0.343) of findings in the test split, at that size.
"""

from ml_collections import ConfigDict

from configs import base, fsarshad_vgg19


def get_config() -> ConfigDict:
    config = fsarshad_vgg19.get_config()
    config.init = base.IMAGENET.format("resnet101")  # transfer_resnet101.py
    config.classifier.architecture = "resnet101"  # transfer_resnet101.py
    config.classifier.head = "linear"  # transfer_resnet101.py
    config.training.plateau_patience = 3  # transfer_resnet101.py:27-33
    return config
