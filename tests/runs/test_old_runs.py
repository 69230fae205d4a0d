"""A run of an older version lacks newer settings, and resumes with the former behavior."""

import json
from pathlib import Path

import pytest

from cxrjax.cli import arguments
from cxrjax.config import default_config, freeze, recipes, schema
from cxrjax.config.settings import RemedyConfig, TrackingConfig
from cxrjax.runs import run_dir
from cxrjax.runtime import former_names


@pytest.fixture
def old_run(tmp_path):
    settings = json.loads(default_config().to_json())
    settings["task"] = "segment"
    del settings["image"]["borders"], settings["segmenter"]["initializer"], settings["classifier"]["initializer"]
    del settings["saliency"], settings["data"]["label_map"], settings["classifier"]["targets"]
    (tmp_path / "config.json").write_text(json.dumps(settings))
    return tmp_path


def test_old_run_has_the_former_borders_method(old_run):
    assert run_dir.load_config(old_run).image.borders == "bottom"


def test_old_run_has_the_default_initializers(old_run):
    config = run_dir.load_config(old_run)
    assert config.segmenter.initializer == config.classifier.initializer == "he_normal"


def test_old_run_has_the_former_patches_and_augmentation(tmp_path):
    settings = json.loads(default_config().to_json())
    added = [
        key.split(".")
        for key in run_dir._DEFAULTS_OF_OLD_RUNS
        if key.startswith(("patches.", "training.", "augmentation."))
    ]
    for section, name in added:
        del settings[section][name]
    settings["classifier"]["classes"] = ["normal", "viral"]
    (tmp_path / "config.json").write_text(json.dumps(settings | {"task": "classify"}))
    config = run_dir.load_config(tmp_path)
    expected = [0, "all", 1, "ignore", 1, 1, 0, 0, "middle"]
    assert [getattr(getattr(config, section), name) for section, name in added] == expected
    assert [default_config()[section][name] for section, name in added] == expected


def test_old_run_has_single_targets_and_no_label_map(old_run):
    config = run_dir.load_config(old_run)
    assert (config.classifier.targets, config.data.label_map) == ("single", ())


def test_old_and_default_runs_have_no_remedy(old_run):
    settings = json.loads((old_run / "config.json").read_text())
    del settings["remedy"]
    (old_run / "config.json").write_text(json.dumps(settings))
    remedy = run_dir.load_config(old_run).remedy
    assert remedy == RemedyConfig()
    assert not remedy.balance and not remedy.match and remedy.single_class_weight == 1 and remedy.loss == "none"
    assert not any((remedy.appearance, remedy.surroundings, remedy.spectrum, remedy.mix_sources, remedy.pairs))
    assert not any((remedy.adversary, remedy.distance_correlation))


def test_old_run_scales_maps_by_the_peak(old_run):
    assert run_dir.load_config(old_run).saliency.scaling == "peak"


def test_old_training_has_no_tracked_images_and_may_change_trackers(old_run):
    settings = json.loads((old_run / "config.json").read_text())
    del settings["tracking"]
    (old_run / "config.json").write_text(json.dumps(settings))
    assert run_dir.load_config(old_run).tracking == TrackingConfig(num_images=0)
    config = default_config()
    config.task = "segment"
    config.image.borders = "bottom"
    config.tracking.trackers = ("mlflow", "tensorboard")
    run_dir.create_or_resume(old_run, freeze(config))
    assert run_dir.load_config(old_run).tracking == TrackingConfig(("mlflow", "tensorboard"))
    change = json.loads((old_run / "config_history.jsonl").read_text())["settings"]
    assert change["tracking.num_images"] == {"former": 0, "new": 4}


def test_old_training_resumes_only_with_its_old_settings(old_run):
    config = default_config()
    config.task = "segment"
    with pytest.raises(
        run_dir.RunError, match="was started with image.borders='bottom', and now 'uniform' is requested"
    ):
        run_dir.create_or_resume(old_run, freeze(config))
    config.image.borders = "bottom"
    run_dir.create_or_resume(old_run, freeze(config))


def test_all_different_settings_are_listed_as_flags(old_run):
    config = default_config()
    config.task = "segment"
    config.seed = 1
    config.training.milestones = (0.25,)
    milestones = tuple(default_config().training.milestones)
    with pytest.raises(run_dir.RunError) as error:
        run_dir.create_or_resume(old_run, freeze(config))
    message = str(error.value)
    assert "--config.seed=0 " in message and f"'--config.training.milestones={milestones}'" in message
    assert "--config.image.borders=bottom" in message and message.count("--config.") == 3


def test_run_of_a_newer_version_is_not_resumed(old_run):
    settings = json.loads((old_run / "config.json").read_text())
    settings["training"]["later"] = 1
    (old_run / "config.json").write_text(json.dumps(settings))
    config = default_config()
    config.task = "segment"
    config.image.borders = "bottom"
    with pytest.raises(run_dir.RunError, match=r"config\.json: there is no setting training.later; .* another version"):
        run_dir.create_or_resume(old_run, freeze(config))


def test_settings_with_former_names_are_read(tmp_path):
    former = json.loads((Path(__file__).parent / "former" / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(former))
    config = run_dir.load_config(tmp_path)
    flat = schema.flatten(json.loads(config.to_json()))
    assert flat.keys() == schema.SETTINGS.keys()
    for key, value in schema.flatten(former).items():
        new_value = former_names.SETTING_VALUES.get(key, {}).get(value, value) if isinstance(value, str) else value
        assert flat[former_names.SETTINGS.get(key, key)] == new_value
    assert (config.patches.mode, config.patches.channels) == ("lung_bbox", "enhanced")
    assert (config.training.sampler, config.optimizer.name) == ("oversample", "adamw")
    assert config.training.param_groups == (("a", 0.5),)


def test_former_setting_name_error_has_the_new_name(tmp_path):
    with pytest.raises(ValueError, match="^--config.data.directory is now data.dir$"):
        arguments.normalize(["--config.data.directory=data"])
    recipe = tmp_path / "recipe.py"
    recipe.write_text(
        "from cxrjax.config import default_config\n\n\ndef get_config():\n    config = default_config()\n"
        "    config.task = 'segment'\n    config.training.optimiser = 'sgd'\n    return config\n"
    )
    with pytest.raises(schema.InvalidSettingError, match="^config: training.optimiser is now optimizer.name$"):
        freeze(recipes.load(str(recipe)))


def test_missing_settings_are_refused_by_name(tmp_path):
    (tmp_path / "config.json").write_text('{"task": "segment"}')
    with pytest.raises(run_dir.RunError, match=r"config\.json: the setting seed is missing"):
        run_dir.load_config(tmp_path)
