"""singhaxn's lungs: a U-Net on a ResNet34 encoder of ImageNet's weights (fastai's DynamicUnet).

python -m cxrjax.main --config=configs/singhaxn_segment.py --config.data.directory=DATA --workdir=RUN
Sources: cells of segmentation/segmentation-train.ipynb of that repository at 163ec0d, and fastai 2.0.13. Ours: a blank
lower border is cut off; the pixel shuffles begin unlike each other (ICNR there); zoom either way by a tenth about the
middle (0.5 to 1.1 about any point there); contrast and brightness of grey levels (of their logits there). Masks that
tell the left lung from the right need --config.augmentation.dihedral=0.0. Mended: no test set.
The initializer, ours, draws all but the encoder.
Cost: 4 minutes of a CPU core at the small size of benchmarks/RECIPES.md; 41.2 million weights there.
Benchmark: Dice 0.925 (0.922 to 0.929) of lungs in the test split, at that size, with each change applied to all
pictures, and no turns or mirrors.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.task = "segment"
    config.init = base.IMAGENET.format("resnet34")  # the encoder's, cell 5
    config.init_head = "fresh"  # and the decoder; cell 5
    config.image.gamma = 1.0  # cell 4
    config.image.equalise = False  # cell 4
    config.segmenter.architecture = "unet_resnet34"  # cell 5
    config.segmenter.size = 224  # cell 4
    config.segmenter.channels = 3  # cell 4
    config.segmenter.normalise = "imagenet"  # fastai vision/learner.py:155
    config.segmenter.dropout = 0.0  # fastai's DynamicUnet has none
    config.training.groups = (("encoder/.*kernel", 0.0),)  # its batch norms learn; cell 5, column "Trainable"
    config.training.epochs = 50  # cell 7
    config.training.batch_size = 16  # cell 4
    config.training.optimiser = "adamw"  # fastai optimizer.py:105
    config.training.decay = 1e-2  # cell 5
    config.training.decay_vectors = False  # fastai learner.py:142
    config.training.momentum = 0.95  # fastai schedule.py:105
    config.training.square_momentum = 0.99  # fastai optimizer.py:189
    config.training.epsilon = 1e-5  # fastai optimizer.py:189
    config.training.learning_rate = 1e-4  # cell 7
    config.training.schedule = "one_cycle"  # cell 7
    config.training.background_weight = 1.0  # cell 5
    config.training.metric = "loss"  # cell 7
    config.training.patience = 8  # cell 7
    config.augmentation.rotation = 10.0  # cell 4
    config.augmentation.zoom = 0.1  # cell 4, see above
    config.augmentation.contrast = 0.2  # cell 4
    config.augmentation.brightness = 0.2  # cell 4
    config.augmentation.each = 0.75  # p_affine and p_lighting of fastai's aug_transforms, each transform on its own
    config.augmentation.dihedral = 0.5  # do_flip and flip_vert of cell 4; fastai's aug_transforms
    return config
