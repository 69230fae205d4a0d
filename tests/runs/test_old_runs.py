"""A run that an older version began lacks newer settings, and goes on as it was."""

import json

import pytest

from cxrjax.config import default_config
from cxrjax.runs import run_dir


@pytest.fixture
def old_run(tmp_path):
    settings = json.loads(default_config().to_json())
    settings["task"] = "segment"
    del settings["image"]["borders"], settings["segmenter"]["initializer"], settings["classifier"]["initializer"]
    del settings["saliency"]
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
    (tmp_path / "config.json").write_text(json.dumps(settings | {"task": "classify"}))
    config = run_dir.load_config(tmp_path)
    assert [config[section][name] for section, name in added] == [0, "all", 1, 1, 1, 0, "middle"]
    assert [default_config()[section][name] for section, name in added] == [0, "all", 1, 1, 1, 0, "middle"]


def test_maps_of_an_old_run_are_scaled_as_they_were(old_run):
    assert run_dir.load_config(old_run).saliency.scaling == "peak"


def test_an_old_training_goes_on_with_the_old_setting_alone(old_run):
    config = default_config()
    config.task = "segment"
    with pytest.raises(
        run_dir.RunError, match="was started with image.borders='bottom', and now 'uniform' is requested"
    ):
        run_dir.create_or_resume(old_run, config)
    config.image.borders = "bottom"
    run_dir.create_or_resume(old_run, config)


def test_all_settings_that_differ_are_listed_as_they_are_given(old_run):
    config = default_config()
    config.task = "segment"
    config.seed = 1
    config.training.milestones = (0.25,)
    milestones = tuple(default_config().training.milestones)
    with pytest.raises(run_dir.RunError) as error:
        run_dir.create_or_resume(old_run, config)
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
        run_dir.create_or_resume(old_run, config)


def test_settings_without_that_section_are_refused_by_name(tmp_path):
    (tmp_path / "config.json").write_text('{"task": "segment"}')
    with pytest.raises(run_dir.RunError, match=r"config\.json: the setting seed is missing"):
        run_dir.load_config(tmp_path)
