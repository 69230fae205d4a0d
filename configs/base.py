"""Every setting of a run, with its unit and source; the values are those of Oh, Park & Ye 2020 where it has one.

A config file starts from `get_config()` here and changes what differs. A key that is not here does not exist.
Sources: "paper" is IEEE TMI 39(8), 2020; "original" its authors' code; "ours" a measurement or choice of this project.
"""

from ml_collections import ConfigDict

# ImageNet's weights of torchvision, kept by timm under torchvision's names: `IMAGENET.format("resnet34")`. They are not
# pinned, as no digest was at hand: `main` may move. The start that fetches them prints their SHA-256, to be added.
IMAGENET = "hf:timm/{}.tv_in1k/model.safetensors@main"


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.task = ""  # "segment" or "classify"; each config says which
    config.seed = 0  # of everything random: weights, order, patches, augmentation
    config.init = ""  # weights to start from: a file, or an address (cxrjax/pretrained/hub.py); "": random ones; ours
    config.init_head = "auto"  # their last layer: "keep", "fresh", or "auto": kept where it has as many outputs; ours
    # (of an encoder's weights alone, "fresh" and "auto" draw all the rest of the segmenter)
    config.precision = "auto"  # "float32", "bfloat16", or "auto": bfloat16 where an accelerator is; ours

    config.data = ConfigDict()
    config.data.directory = ""  # a data set made by `python -m data_prep`
    config.data.train = "train"  # the split to train on, or several: "fold0+fold2"
    config.data.validation = "val"  # the split, or several, to choose the best epoch by
    config.data.held = 4000.0  # megabytes of pictures and masks, of training and of validation each, that are held in
    # memory and on the devices; what takes more is read anew whenever it is needed; ours: 1,900 radiographs of 1024²
    config.data.readers = 2  # threads that read and standardise radiographs; ours

    config.image = ConfigDict()
    config.image.size = 1024  # pixels, side of a standardised radiograph; paper II-C
    config.image.gamma = 0.5  # exponent after histogram specification; original segmentation/header.py
    config.image.equalise = True  # histograms specified, as the original does; False: the grey levels as they are
    config.image.borders = "uniform"  # margins of nearly one level are cut at all sides (cxrjax/io/borders.py); ours
    # or "bottom": only a lower border of exactly 0, as the original does

    config.segmenter = ConfigDict()
    config.segmenter.architecture = "fc_densenet103"  # paper II-B, table II
    config.segmenter.size = 256  # pixels, side of its input; paper II-B
    config.segmenter.channels = 1  # original segmentation/header.py
    config.segmenter.normalise = "none"  # grey levels in 0..1 (the original: 0..255); "imagenet" of published weights
    config.segmenter.initializer = "he_normal"  # of random weights; or another of cxrjax/models/initializers.py; ours
    config.segmenter.dropout = 0.2  # share of feature maps; original segmentation/layers.py
    config.segmenter.workdir = ""  # classify: the run that trained it; "" will do where patches are global, not masked
    config.segmenter.smallest_part = 0.005  # share of the picture; smaller parts of a lung mask are dropped; ours
    config.segmenter.smallest_lungs = 0.02  # share of the picture; below it, "no lungs found"; ours

    config.classifier = ConfigDict()
    config.classifier.architecture = "resnet18"  # paper II-C
    config.classifier.head = "own"  # as published, or of cxrjax/models/heads.py: "linear", "hidden", "vgg", …
    config.classifier.channels = 3  # paper II-C: grey repeated, for weights trained on colour
    config.classifier.normalise = "none"  # grey levels in 0..1 (the original: 0..255); "imagenet" of published weights
    config.classifier.initializer = "he_normal"  # of random weights and of a new head; as the segmenter's; ours
    config.classifier.classes = ("normal", "bacterial", "tuberculosis", "viral", "covid19")  # paper table I

    config.patches = ConfigDict()
    config.patches.mode = "local"  # or one alone: "global", the radiograph, paper II-C; "crop", the lungs, singhaxn
    # or "dense": all such patches at once, windows of the feature map of the whole (cxrjax/inference/strategies/sliding_windows.py); ours
    config.patches.masked = True  # all but the lungs blackened; paper II-C
    config.patches.channels = "grey"  # or "contrast": Otsu, CLAHE, adaptive threshold; singhaxn classifier_common.py
    config.patches.margin = 0.05  # of "crop": share of the lungs' box added on each side; singhaxn inference.py:124
    config.patches.confidence = 0.875  # of "crop": at or below it, the whole radiograph; singhaxn model-config.json:5
    config.patches.center_crop = 0.0  # of "global": share of the side cut off, so that the middle is shown, and in
    # training, where an example is augmented, a square as large that lies anywhere; hieu2695 resnet34_cs_fc.py
    config.patches.size = 224  # pixels, side of a patch; paper II-C
    config.patches.context = 0  # pixels round a patch that the backbone sees, the head not; whole strides (32); ours
    config.patches.count = 100  # N, patches a radiograph votes with; paper II-C
    config.patches.validation_count = 10  # patches a radiograph votes with in validation; ours (the original: 1)
    config.patches.chunk = 50  # patches classified at once; ours: bounds the memory, changes no result

    config.voting = ConfigDict()
    config.voting.rule = "majority"  # or "mean_probability"; paper II-C

    config.training = ConfigDict()
    config.training.epochs = 100  # original segmentation/header.py and classification/header.py
    config.training.batch_size = 16  # radiographs a step; original classification/header.py
    config.training.sampling = "shuffled"  # "balanced": every class as often; "oversampled": see below; training alone
    config.training.oversample = 5  # times more that the minority is seen; hieu2695 baseline_oversampling.py
    config.training.minority = ()  # names of the classes oversampled; (): the smallest
    config.training.augment = "all"  # examples that are augmented; "copies": those of "oversampled" alone
    config.training.augmented = 1.0  # share of these that is, drawn for each example; the others are as in validation
    config.training.loss = "cross_entropy"  # or "focal"; of findings (lungs: cross-entropy by pixel)
    config.training.class_weights = ()  # of findings: (), ("inverse",) to their numbers, or a number a class
    config.training.focal_gamma = 2.0  # hieu2695 Helper.py
    config.training.focal_alpha = 1.0  # hieu2695 Helper.py
    config.training.optimiser = "adam"  # "adamw": decay apart from the gradient; "sgd"; original classification
    config.training.momentum = 0.9  # share kept each step of the mean gradient; PyTorch's Adam
    config.training.square_momentum = 0.999  # share kept each step of the mean squared gradient; PyTorch's Adam
    config.training.epsilon = 1e-8  # added to the root of that; PyTorch's Adam
    config.training.learning_rate = 1e-5  # original classification/header.py
    config.training.schedule = "steps"  # or "constant", "cosine", "one_cycle", "plateau"
    config.training.warmup = 0.0  # share of the training; ours
    config.training.milestones = ()  # shares of the training at which "steps" multiplies the rate by `factor`
    config.training.factor = 0.1  # of "steps" (original segmentation/train.py) and "plateau" (manastahir train.py)
    config.training.cycles = 1  # of "cosine", each from the peak anew; its networks are kept for evaluation.members
    config.training.one_cycle = (0.25, 25.0, 1e5)  # share rising, peak / first rate, peak / last rate; fastai
    config.training.momentum_at_peak = 0.85  # momentum falls to this as "one_cycle" rises; fastai
    config.training.plateau_metric = ""  # "val/…" or "train/loss" (manastahir train.py); "": `metric` of validation
    config.training.plateau_patience = 5  # epochs without a better one before the rate falls; manastahir config.ini
    config.training.plateau_delta = 1e-4  # how much better is better; Keras ReduceLROnPlateau
    config.training.lowest_rate = 0.0  # below which "plateau" does not go
    config.training.groups = ()  # ((regular expression, multiplier of the rate), …) by parameter path; 0 freezes
    config.training.unfreeze_epoch = 0  # epochs after which frozen groups learn too, with a new optimiser; 0: never
    config.training.unfreeze_factor = 0.1  # of every learning rate from then on; hieu2695 resnet34_cs_full.py
    config.training.unfreeze_augmented = 1.0  # of training.augmented from then on; hieu2695 resnet34_cs_full.py
    config.training.decay = 0.0  # added to the gradient, a weight's own multiple (PyTorch's Adam weight_decay)
    config.training.decay_vectors = True  # biases and batch norms decay too, as PyTorch's; fastai's do not
    config.training.clip = 0.0  # largest norm of each parameter's own gradient, 0 for any; Keras's clipnorm
    config.training.average = 0.0  # share kept, each step, of the running mean of weights to use; 0: none; ours
    config.training.l1 = 0.0  # weight of the sum of absolute parameters; original classification/train.py
    config.training.l2 = 0.0  # weight of the sum of squared parameters; manastahir models.py
    config.training.l2_vectors = True  # that sum is of biases and batch norms too; Keras's is of kernels alone
    config.training.background_weight = 0.5  # of a pixel outside all structures; original segmentation/header.py
    config.training.metric = ""  # of validation: highest is best, of a name that ends in "loss" lowest
    config.training.patience = 50  # epochs without a strictly better metric before stopping; original classification
    config.training.checkpoint_minutes = 5.0  # between saves inside an epoch (each epoch's end is saved too); ours

    config.augmentation = ConfigDict()  # in training alone; all zero as the original's code has it
    config.augmentation.rotation = 0.0  # degrees, either way
    config.augmentation.zoom = 0.0  # share of the size, either way
    config.augmentation.shift = 0.0  # share of the size, either way
    config.augmentation.contrast = 0.0  # share of the grey range, either way
    config.augmentation.contrast_about = "middle"  # of the grey range; "mean": of the picture, as Keras's
    config.augmentation.brightness = 0.0  # share of the grey range, either way
    config.augmentation.crop = 0.0  # share of the side cut off at random, what is left enlarged to the whole
    config.augmentation.upend = 0.0  # probability of upside down
    config.augmentation.flip = 0.0  # probability of left for right; not of masks that tell left from right lung
    config.augmentation.dihedral = 0.0  # probability of one of the square's 8 symmetries, all alike; fastai's Dihedral
    config.augmentation.each = 1.0  # probability of each of rotation, zoom, shift, contrast, brightness; fastai's p

    config.evaluation = ConfigDict()
    config.evaluation.batch_size = 8  # radiographs at once; ours: bounds the memory, changes no result
    config.evaluation.sheet = 12  # radiographs on the picture sheet
    config.evaluation.members = 1  # the best network; more: as many of the last cycles' networks vote together

    config.saliency = ConfigDict()
    config.saliency.scaling = "peak"  # each patch's map is divided by its highest value; ours
    # or "range": its lowest value becomes 0 too, as in the original (see cxrjax/ops/cam.py: scale)

    config.maps = ConfigDict()  # of --mode=check_maps
    config.maps.fill = "black"  # what deleted pixels become; or "blur": the radiograph, blurred; Petsiuk et al. 2018
    config.maps.blur = 0.05  # of "blur": standard deviation, share of the radiograph's side; ours
    config.maps.steps = 8  # equal shares of the lungs that are deleted or inserted one after the other; ours
    config.maps.patches = 10  # whose mean probability is traced then; ours
    config.maps.draws = 2  # times that the network's weights are drawn anew; ours
    config.maps.levels = 2  # of each: layers re-drawn from the output to the input, the last: all; Adebayo et al. 2018
    config.maps.survives = 0.5  # rank correlation over which a map hardly depends on the weights; ours
    config.maps.seeds = 2  # other draws of the patches that a map is compared with; ours
    config.maps.stable = 0.7  # rank correlation over which it is the same map: half of the variance; ours
    config.maps.hottest = 0.1  # share of the lungs whose overlap is told; ours
    config.report = ConfigDict()
    config.report.cases = 300  # radiographs in its table, worst first; ours
    config.report.side = 512  # pixels, side of their pictures; ours
    config.report.megabytes = 12.0  # room for the pictures: no more are drawn once it is used up; ours
    config.gate = ConfigDict()  # what is no radiograph such as those of training; cxrjax/inference/ood.py
    config.gate.quantile = 0.99  # share of such radiographs that it lets through; 0: there is no gate; ours
    config.gate.radiographs = 400  # of training, evenly taken, that it is fitted to: 4 / (1 - quantile); ours

    config.rate_finder = ConfigDict()
    config.rate_finder.lowest = 1e-7  # first learning rate; hieu2695 Helper.py
    config.rate_finder.highest = 1e-2  # last learning rate; hieu2695 resnet34_freeze.py
    config.rate_finder.steps = 200  # from the first to the last; hieu2695 resnet34_freeze.py
    return config
