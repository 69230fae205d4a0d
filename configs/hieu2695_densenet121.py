"""hieu2695's final method with DenseNet121.

python -m cxrjax.main --config=configs/hieu2695_densenet121.py --config.data.directory=DATA --workdir=RUN
Sources: densenet_cs_fc.py and densenet_cs_full.py; else as configs/hieu2695_resnet34.py.
The initializer draws the head alone.
Cost: 6 minutes of a CPU core at the small size of benchmarks/RECIPES.md; 7.5 million weights there.
Benchmark: macro F1 0.547 (0.505 to 0.587) of findings in the test split, at that size, cropped and augmented as that of
configs/hieu2695_resnet34.py.
"""

from ml_collections import ConfigDict

from configs import base, hieu2695_resnet34


def get_config() -> ConfigDict:
    config = hieu2695_resnet34.get_config()
    config.init = base.IMAGENET.format("densenet121")  # densenet_cs_fc.py:84
    config.classifier.architecture = "densenet121"  # densenet_cs_fc.py:84
    config.classifier.initializer = "torch"  # of the head alone: a new nn.Linear twice; densenet_cs_fc.py:86-90
    config.training.learning_rate = 3e-4  # densenet_cs_fc.py:99
    return config
