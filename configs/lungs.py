"""Lungs and heart of adults and children: the segmenter that comes with the package.

python -m data_prep table --csv=LUNGS.csv --name=lungs_all --out=data
for SIDE in 64 128 256; do
    python -m cxrjax.main --config=configs/lungs.py:$SIDE --workdir=runs/lungs_$SIDE
    python -m cxrjax.main --mode=export --workdir=runs/lungs_$SIDE --output=runs/lungs_$SIDE.safetensors
done
Radiographs and masks: JSRT (heart, left and right lung), OpenIST (lungs), V7 Labs (lungs of children and of patients
with COVID-19, with the part behind the heart). Training begins at a quarter of the final side, since a step costs a
sixteenth there. Numbers without a source are ours, chosen on the validation split.
"""

from ml_collections import ConfigDict

from cxrjax.config import default_config


def get_config(side: str = "256") -> ConfigDict:
    """Return the config of a stage by the side of the network's input in pixels: "64", "128" or "256"."""
    stages = {
        "64": {"pretrained": "", "epochs": 14, "learning_rate": 2e-3},
        "128": {"pretrained": "runs/lungs_64.safetensors", "epochs": 5, "learning_rate": 1e-3},
        "256": {"pretrained": "runs/lungs_128.safetensors", "epochs": 2, "learning_rate": 5e-4},
    }
    if side not in stages:
        raise ValueError(f"configs/lungs.py has no variant {side!r}; it has {', '.join(stages)}")
    stage = stages[side]
    config = default_config()
    config.task = "segment"
    config.data.dir = "data/lungs_all"
    config.pretrained = stage["pretrained"]
    config.image.size = 512  # half the paper's; the radiographs have a long side of 512 pixels at most
    config.segmenter.architecture = "fc_densenet56"
    config.segmenter.size = int(side)
    config.segmenter.dropout = 0.0  # the augmentation regularizes enough
    config.training.epochs = stage["epochs"]
    config.training.batch_size = 8
    config.training.learning_rate = stage["learning_rate"]
    config.training.schedule = "cosine"
    config.training.warmup_fraction = 0.05
    config.training.ema_decay = 0.99
    config.training.metric = "jaccard"
    config.training.patience = 100
    # Radiographs from clinics are rotated, too far or too near, of any contrast, or have blank borders.
    config.augmentation.rotation = 15.0
    config.augmentation.scale = 0.2
    config.augmentation.shift = 0.1
    config.augmentation.contrast = 0.4
    config.augmentation.brightness = 0.2
    config.augmentation.border = 0.15
    return config
