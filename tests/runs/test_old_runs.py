"""A run that an older version began lacks newer settings, and goes on as it was."""

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


def test_borders_of_an_old_run_are_found_as_they_were(old_run):
    assert run_dir.load_config(old_run).image.borders == "bottom"


def test_weights_of_an_old_run_were_drawn_as_the_default_draws_them(old_run):
    config = run_dir.load_config(old_run)
    assert config.segmenter.initializer == config.classifier.initializer == "he_normal"


def test_an_old_run_shows_and_augments_as_it_did(tmp_path):
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


def test_a_former_run_has_one_label_per_radiograph_under_its_own_name(old_run):
    config = run_dir.load_config(old_run)
    assert (config.classifier.targets, config.data.label_map) == ("single", ())


def test_an_old_run_has_no_remedy_and_neither_has_a_default(old_run):
    settings = json.loads((old_run / "config.json").read_text())
    del settings["remedy"]
    (old_run / "config.json").write_text(json.dumps(settings))
    remedy = run_dir.load_config(old_run).remedy
    assert remedy == RemedyConfig()
    assert not remedy.balance and not remedy.match and remedy.single_class_weight == 1 and remedy.loss == "none"
    assert not any((remedy.appearance, remedy.surroundings, remedy.spectrum, remedy.mix_sources, remedy.pairs))
    assert not any((remedy.adversary, remedy.distance_correlation))


def test_maps_of_an_old_run_are_scaled_as_they_were(old_run):
    assert run_dir.load_config(old_run).saliency.scaling == "peak"


def test_an_old_training_is_tracked_as_it_was_and_may_be_tracked_otherwise(old_run):
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


def test_an_old_training_goes_on_with_the_old_setting_alone(old_run):
    config = default_config()
    config.task = "segment"
    with pytest.raises(
        run_dir.RunError, match="was started with image.borders='bottom', and now 'uniform' is requested"
    ):
        run_dir.create_or_resume(old_run, freeze(config))
    config.image.borders = "bottom"
    run_dir.create_or_resume(old_run, freeze(config))


def test_all_settings_that_differ_are_listed_as_they_are_given(old_run):
    config = default_config()
    config.task = "segment"
    config.seed = 1
    config.training.milestones = (0.25,)
    milestones = tuple(default_config().training.milestones)
    with pytest.raises(run_dir.RunError) as error:
        run_dir.create_or_resume(old_run, freeze(config))
    said = str(error.value)
    assert "--config.seed=0 " in said and f"'--config.training.milestones={milestones}'" in said
    assert "--config.image.borders=bottom" in said and said.count("--config.") == 3


def test_a_run_of_a_newer_version_is_not_gone_on_with(old_run):
    settings = json.loads((old_run / "config.json").read_text())
    settings["training"]["later"] = 1
    (old_run / "config.json").write_text(json.dumps(settings))
    config = default_config()
    config.task = "segment"
    config.image.borders = "bottom"
    with pytest.raises(run_dir.RunError, match=r"config\.json: there is no setting training.later; .* another version"):
        run_dir.create_or_resume(old_run, freeze(config))


def test_settings_under_former_names_are_read_under_todays(tmp_path):
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


def test_a_former_name_of_a_setting_is_refused_by_a_sentence_with_the_new_one(tmp_path):
    with pytest.raises(ValueError, match="^--config.data.directory is now data.dir$"):
        arguments.normalize(["--config.data.directory=data"])
    recipe = tmp_path / "recipe.py"
    recipe.write_text(
        "from cxrjax.config import default_config\n\n\ndef get_config():\n    config = default_config()\n"
        "    config.task = 'segment'\n    config.training.optimiser = 'sgd'\n    return config\n"
    )
    with pytest.raises(schema.InvalidSettingError, match="^config: training.optimiser is now optimizer.name$"):
        freeze(recipes.load(str(recipe)))


def test_settings_without_that_section_are_refused_by_name(tmp_path):
    (tmp_path / "config.json").write_text('{"task": "segment"}')
    with pytest.raises(run_dir.RunError, match=r"config\.json: the setting seed is missing"):
        run_dir.load_config(tmp_path)
