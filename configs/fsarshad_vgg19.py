"""fsarshad's VGG19: a frozen base of ImageNet's weights under a new head, on whole radiographs of 192².

python -m cxrjax.main --config=configs/fsarshad_vgg19.py --config.data.directory=DATA --workdir=RUN
Sources: code/transfer_vgg19.py of that repository at 1661369, and configs/fsarshad_cnn1.py for data and augmentation.
Mended: the frozen base was fed grey levels in 0..1, not what its weights were trained on.
The initializer, that of configs/fsarshad_cnn1.py, draws the head alone.
Cost: 7 minutes of a CPU core at the small size of benchmarks/RECIPES.md; 38.9 million weights there.
Benchmark: macro F1 0.388 (0.340 to 0.434) of findings in the test split, at that size.
"""

from ml_collections import ConfigDict

from configs import base, fsarshad_cnn1


def get_config() -> ConfigDict:
    config = fsarshad_cnn1.get_config()
    config.init = base.IMAGENET.format("vgg19")  # line 6
    config.init_head = "fresh"  # line 8
    config.image.size = 192  # line 6
    config.patches.size = 192  # line 6
    config.classifier.architecture = "vgg19"  # line 6
    config.classifier.head = "flat"  # 1024 units, ReLU; lines 10-14
    config.classifier.normalise = "imagenet"  # ours, see above
    config.training.groups = (("backbone", 0.0),)  # line 8
    config.training.optimiser = "sgd"  # line 28; Keras's SGD has no momentum
    config.training.momentum = 0.0  # line 28
    config.training.learning_rate = 0.01  # line 28
    config.training.epochs = 20  # line 35
    config.training.batch_size = 16  # cell 38, whose batches cell 57 trains on
    config.training.schedule = "plateau"  # line 30
    config.training.plateau_metric = "val/accuracy"  # line 30
    config.training.plateau_patience = 2  # line 30
    config.training.factor = 0.5  # line 30
    config.training.lowest_rate = 1e-3  # line 30
    config.training.metric = "accuracy"  # line 33
    return config
