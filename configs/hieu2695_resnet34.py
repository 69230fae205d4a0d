"""hieu2695's final method: ResNet34, first the head alone, then all of it at a tenth of the rate.

python -m cxrjax.main --config=configs/hieu2695_resnet34.py --config.data.directory=DATA --workdir=RUN
Sources: resnet34_cs_fc.py and resnet34_cs_full.py; else as configs/hieu2695_full.py. One of its epochs is five of ours,
and its patience 15 here. It frees the base when the first stage stops, at the best of its epochs, published as 26, so
130 of ours; here at that number. Of its second stage's five parts one is not augmented; here each example is drawn.
Cost: 3 minutes of a CPU core at the small size of benchmarks/RECIPES.md; 21.5 million weights there.
Benchmark: macro F1 0.667 (0.609 to 0.721) of findings in the test split, at that size, with a random crop enlarged to
the whole in training and no crop elsewhere, all examples augmented.
"""

from ml_collections import ConfigDict

from configs import hieu2695_full


def get_config() -> ConfigDict:
    config = hieu2695_full.get_config()
    config.classifier.head = "hidden"  # resnet34_cs_fc.py:111-118
    config.patches.center_crop = 0.0625  # 120 of 128, anywhere in training; resnet34_cs_fc.py:53,64
    config.patches.size = 120  # resnet34_cs_fc.py:53,64
    config.training.class_weights = ("inverse",)  # resnet34_cs_fc.py
    config.training.batch_size = 256  # resnet34_cs_fc.py:72
    config.training.learning_rate = 1e-4  # resnet34_cs_fc.py:126
    config.training.groups = (("backbone", 0.0),)  # resnet34_cs_fc.py:111
    config.training.unfreeze_epoch = 130  # see above
    config.training.unfreeze_augmented = 0.8  # four parts of five; resnet34_cs_full.py:76-78
    config.training.patience = 15  # see above
    config.augmentation.flip = 0.5  # resnet34_cs_fc.py
    config.augmentation.rotation = 15.0  # resnet34_cs_fc.py
    return config
