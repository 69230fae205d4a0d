"""Default value of every setting, with its unit and source, and the choice between the variants of a recipe.

A recipe (a file of configs/) starts from `default_config()` and changes what differs. A setting that is not listed here
does not exist; `schema.py` has the type and the range of each. The values are those of Oh, Park & Ye 2020 where
the paper or its code has one.
Sources: "paper" is IEEE TMI 39(8), 2020; "original" is its authors' code; "ours" is a measurement or a choice of this
project.
"""

from collections.abc import Callable, Sequence

from ml_collections import ConfigDict

# ImageNet weights of torchvision, hosted by timm under torchvision's names: `IMAGENET.format("resnet34")`. They are not
# pinned, since no digest was available: `main` may change. The start that downloads them prints their SHA-256, which
# can be appended to the address.
IMAGENET = "hf:timm/{}.tv_in1k/model.safetensors@main"


class UnknownVariantError(LookupError):
    """A recipe has no variant of the given name; the message lists its variants, which `variants` are."""

    def __init__(self, name: str, variants: Sequence[str]):
        problem = f"no variant {name!r}" if name else "the variant is missing"
        super().__init__(f"{problem}; write a colon and one of {', '.join(variants)} after the recipe")
        self.variants = tuple(variants)


def select_variant(name: str, *variants: Callable[[], ConfigDict]) -> ConfigDict:
    """Return the config of the named variant of a recipe.

    Args:
        name: name of the variant, the text after the colon of `--config=FILE:NAME`; "" if none is given.
        *variants: functions that return the config of a variant, each with the name of its variant.

    Raises:
        UnknownVariantError: no variant has this name.
    """
    by_name = {variant.__name__: variant for variant in variants}
    if name not in by_name:
        raise UnknownVariantError(name, tuple(by_name))
    return by_name[name]()


def default_config() -> ConfigDict:
    """Return a new config with the default of every setting; `task` is empty and has to be set."""
    config = ConfigDict()
    config.task = ""  # "segment" or "classify"; set by each recipe
    config.seed = 0  # of all random numbers: weights, order, patches, augmentation
    config.init = ""  # initial weights: a file or an address (cxrjax/pretrained/hub.py); "": random weights; ours
    config.init_head = "auto"  # their last layer: "keep", "fresh", or "auto": kept if it has as many outputs; ours
    # (if the weights are those of an encoder, "fresh" and "auto" draw the rest of the segmenter)
    config.precision = "auto"  # "float32", "bfloat16", or "auto": bfloat16 if there is an accelerator; ours

    config.data = ConfigDict()
    config.data.directory = ""  # a data set prepared by `python -m data_prep`
    config.data.train = "train"  # split to train on, or several: "fold0+fold2"
    config.data.validation = "val"  # split, or several, by which the best epoch is chosen
    config.data.held = 4000.0  # megabytes: limit of the images and masks, for training and for validation each, that
    # are cached in memory and on the devices; larger splits are read from disk; ours: 1,900 radiographs of 1024²
    config.data.readers = 2  # threads that read and preprocess radiographs; ours

    config.image = ConfigDict()
    config.image.size = 1024  # pixels, side of a preprocessed radiograph; paper II-C
    config.image.gamma = 0.5  # exponent after histogram specification; original segmentation/header.py
    config.image.equalise = True  # specify the histogram, as the original does; False: keep the gray levels
    config.image.borders = "uniform"  # crop margins of nearly one level at all sides (cxrjax/io/borders.py); ours
    # or "bottom": crop only a lower border of exactly 0, as the original does

    config.segmenter = ConfigDict()
    config.segmenter.architecture = "fc_densenet103"  # paper II-B, table II
    config.segmenter.size = 256  # pixels, side of the input; paper II-B
    config.segmenter.channels = 1  # original segmentation/header.py
    config.segmenter.normalise = "none"  # gray levels in 0..1 (original: 0..255); "imagenet" for published weights
    config.segmenter.initializer = "he_normal"  # of random weights; others in cxrjax/models/initializers.py; ours
    config.segmenter.dropout = 0.2  # fraction of feature maps; original segmentation/layers.py
    config.segmenter.workdir = ""  # classify: run directory of the segmenter; "" if patches are global and not masked
    config.segmenter.smallest_part = 0.005  # fraction of the image; smaller components of a mask are removed; ours
    config.segmenter.smallest_lungs = 0.02  # fraction of the image; a smaller mask counts as "no lungs found"; ours

    config.classifier = ConfigDict()
    config.classifier.architecture = "resnet18"  # paper II-C
    config.classifier.head = "own"  # as published, or one of cxrjax/models/classifier.py: "linear", "hidden", "vgg", …
    config.classifier.channels = 3  # paper II-C: gray repeated, for weights trained on color images
    config.classifier.normalise = "none"  # gray levels in 0..1 (original: 0..255); "imagenet" for published weights
    config.classifier.initializer = "he_normal"  # of random weights and of a new head; names as of the segmenter; ours
    config.classifier.classes = ("normal", "bacterial", "tuberculosis", "viral", "covid19")  # paper table I

    config.patches = ConfigDict()
    config.patches.mode = "local"  # patches, paper II-C; "global": the radiograph; "crop": the lungs, singhaxn
    # or "dense": windows of the radiograph's feature map (cxrjax/inference/strategies/sliding_windows.py); ours
    config.patches.masked = True  # black out all but the lungs; paper II-C
    config.patches.channels = "grey"  # or "contrast": Otsu, CLAHE, adaptive threshold; singhaxn classifier_common.py
    config.patches.margin = 0.05  # of "crop": fraction of the lung box added to each side; singhaxn inference.py:124
    config.patches.confidence = 0.875  # of "crop": whole radiograph at or below it; singhaxn model-config.json:5
    config.patches.center_crop = 0.0  # of "global": fraction of the side that is cut off, leaving the center; if the
    # example is augmented in training, a square of that size at a random place; hieu2695 resnet34_cs_fc.py
    config.patches.size = 224  # pixels, side of a patch; paper II-C
    config.patches.context = 0  # pixels around a patch that only the backbone sees; multiples of the stride, 32; ours
    config.patches.count = 100  # N, number of patches that vote on a radiograph; paper II-C
    config.patches.validation_count = 10  # number of patches that vote in validation; ours (original: 1)
    config.patches.chunk = 50  # patches per forward pass; ours: limits the memory, does not change results

    config.voting = ConfigDict()
    config.voting.rule = "majority"  # or "mean_probability"; paper II-C

    config.training = ConfigDict()
    config.training.epochs = 100  # original segmentation/header.py and classification/header.py
    config.training.batch_size = 16  # radiographs per step; original classification/header.py
    config.training.sampling = "shuffled"  # "balanced": classes equally often; "oversampled": see below; only training
    config.training.oversample = 5  # factor by which the minority is repeated; hieu2695 baseline_oversampling.py
    config.training.minority = ()  # names of the oversampled classes; (): the smallest class
    config.training.augment = "all"  # examples that are augmented; "copies": only those that "oversampled" adds
    config.training.augmented = 1.0  # probability that such an example is augmented; the others are as in validation
    config.training.loss = "cross_entropy"  # or "focal"; of the classifier (segmenter: cross-entropy per pixel)
    config.training.class_weights = ()  # of the classifier: (), ("inverse",) to class sizes, or a number per class
    config.training.focal_gamma = 2.0  # hieu2695 Helper.py
    config.training.focal_alpha = 1.0  # hieu2695 Helper.py
    config.training.optimiser = "adam"  # "adamw": decoupled weight decay; "sgd"; original classification
    config.training.momentum = 0.9  # decay rate per step of the gradient's running mean; PyTorch's Adam
    config.training.square_momentum = 0.999  # decay rate per step of the squared gradient's; PyTorch's Adam
    config.training.epsilon = 1e-8  # added to the root of the latter; PyTorch's Adam
    config.training.learning_rate = 1e-5  # original classification/header.py
    config.training.schedule = "steps"  # or "constant", "cosine", "one_cycle", "plateau"
    config.training.warmup = 0.0  # fraction of the training; ours
    config.training.milestones = ()  # fractions of the training at which "steps" multiplies the rate by `factor`
    config.training.factor = 0.1  # of "steps" (original segmentation/train.py) and "plateau" (manastahir train.py)
    config.training.cycles = 1  # of "cosine", each from the peak; their networks are kept for evaluation.members
    config.training.one_cycle = (0.25, 25.0, 1e5)  # rising fraction, peak / first rate, peak / last rate; fastai
    config.training.momentum_at_peak = 0.85  # momentum decreases to this as "one_cycle" rises; fastai
    config.training.plateau_metric = ""  # "val/…" or "train/loss" (manastahir train.py); "": `metric` of validation
    config.training.plateau_patience = 5  # epochs without improvement before the rate is lowered; manastahir config.ini
    config.training.plateau_delta = 1e-4  # smallest change that counts as improvement; Keras ReduceLROnPlateau
    config.training.lowest_rate = 0.0  # lower limit of the rate of "plateau"
    config.training.groups = ()  # ((regular expression, multiplier of the rate), …) by parameter path; 0 freezes
    config.training.unfreeze_epoch = 0  # epochs after which frozen groups train too, with a new optimizer; 0: never
    config.training.unfreeze_factor = 0.1  # of every learning rate from then on; hieu2695 resnet34_cs_full.py
    config.training.unfreeze_augmented = 1.0  # training.augmented times this from then on; hieu2695 resnet34_cs_full.py
    config.training.decay = 0.0  # added to the gradient, as a multiple of the weight (PyTorch's Adam weight_decay)
    config.training.decay_vectors = True  # decay biases and batch norms too, as PyTorch does; fastai does not
    config.training.clip = 0.0  # largest norm of each parameter's own gradient, 0: unlimited; Keras's clipnorm
    config.training.average = 0.0  # decay rate per step of the weights' running mean, which is used; 0: none; ours
    config.training.l1 = 0.0  # weight of the sum of absolute parameters; original classification/train.py
    config.training.l2 = 0.0  # weight of the sum of squared parameters; manastahir models.py
    config.training.l2_vectors = True  # include biases and batch norms in that sum; Keras's is of kernels only
    config.training.background_weight = 0.5  # of a pixel outside all structures; original segmentation/header.py
    config.training.metric = ""  # of validation: the highest is best, or the lowest if the name ends in "loss"
    config.training.patience = 50  # epochs without a strictly better metric before stopping; original classification
    config.training.checkpoint_minutes = 5.0  # between saves within an epoch (the end of each is saved too); ours

    config.augmentation = ConfigDict()  # in training only; all zero, as in the original's code
    config.augmentation.rotation = 0.0  # degrees, in both directions
    config.augmentation.zoom = 0.0  # fraction of the size, in both directions
    config.augmentation.shift = 0.0  # fraction of the size, in both directions
    config.augmentation.contrast = 0.0  # fraction of the gray range, in both directions
    config.augmentation.contrast_about = "middle"  # of the gray range; "mean": of the image, as Keras does
    config.augmentation.brightness = 0.0  # fraction of the gray range, in both directions
    config.augmentation.crop = 0.0  # fraction of the side cut off at random; the rest is enlarged to the full size
    config.augmentation.upend = 0.0  # probability of a vertical flip
    config.augmentation.flip = 0.0  # probability of a horizontal flip; not if masks distinguish left and right lung
    config.augmentation.dihedral = 0.0  # probability of one of the square's 8 symmetries, uniform; fastai's Dihedral
    config.augmentation.each = 1.0  # probability of each of rotation, zoom, shift, contrast, brightness; fastai's p

    config.evaluation = ConfigDict()
    config.evaluation.batch_size = 8  # radiographs per batch; ours: limits the memory, does not change results
    config.evaluation.sheet = 12  # radiographs on the preview sheet
    config.evaluation.members = 1  # the best network only; more: the networks of this many last cycles vote together

    config.saliency = ConfigDict()
    config.saliency.scaling = "peak"  # divide the map of each patch by its maximum; ours
    # or "range": its minimum becomes 0 too, as in the original (cxrjax/ops/cam.py: scale)

    config.maps = ConfigDict()  # of --mode=evaluate_saliency
    config.maps.fill = "black"  # value of deleted pixels; "blur": the blurred radiograph; Petsiuk et al. 2018
    config.maps.blur = 0.05  # of "blur": standard deviation, fraction of the radiograph's side; ours
    config.maps.steps = 8  # equal parts of the lungs that are deleted or inserted one after another; ours
    config.maps.patches = 10  # whose mean probability is recorded at each step; ours
    config.maps.draws = 2  # random redraws of the network's weights; ours
    config.maps.levels = 2  # of each: layers redrawn from output to input, the last: all; Adebayo et al. 2018
    config.maps.survives = 0.5  # rank correlation above which a map hardly depends on the weights; ours
    config.maps.seeds = 2  # other draws of the patches with which a map is compared; ours
    config.maps.stable = 0.7  # rank correlation above which maps count as equal: half of the variance; ours
    config.maps.hottest = 0.1  # fraction of the lungs whose overlap is reported; ours

    config.report = ConfigDict()
    config.report.cases = 300  # radiographs in the report's table, worst first; ours
    config.report.side = 512  # pixels, side of their images; ours
    config.report.megabytes = 12.0  # limit of all images: no more are drawn once it is reached; ours

    config.gate = ConfigDict()  # detects images unlike the training radiographs; cxrjax/inference/ood.py
    config.gate.quantile = 0.99  # fraction of training radiographs that is accepted; 0: no detector; ours
    config.gate.radiographs = 400  # of training, evenly spaced, to fit it to: 4 / (1 - quantile); ours

    config.rate_finder = ConfigDict()
    config.rate_finder.lowest = 1e-7  # first learning rate; hieu2695 Helper.py
    config.rate_finder.highest = 1e-2  # last learning rate; hieu2695 resnet34_freeze.py
    config.rate_finder.steps = 200  # from the first to the last; hieu2695 resnet34_freeze.py
    return config
