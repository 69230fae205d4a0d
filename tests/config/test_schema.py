"""Every setting has a type and a range; a value outside of them is an error of one sentence that names the setting."""

import json
import math

import pytest

from cxrjax.cli import arguments
from cxrjax.config import default_config, freeze, recipes, schema
from cxrjax.runs import run_dir, weights
from cxrjax.training import trainer

RECIPES = ["audit", *(f"{name}:{variant}" for name in recipes.names() for variant in recipes.variants(name))]


def settings(task: str = "segment", **changes) -> dict:
    """Return the default settings with changes, where "a__b" stands for a.b."""
    config = json.loads(default_config().to_json())
    config["task"] = task
    for name, value in changes.items():
        *sections, key = name.split("__")
        inside = config
        for section in sections:
            inside = inside[section]
        inside[key] = value
    return config


def test_schema_has_exactly_the_settings_of_the_config():
    assert set(schema.flatten(settings())) == set(schema.SETTINGS)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_within_the_ranges(name):
    schema.check(json.loads(recipes.load(name).to_json()))


NUMBERS = [key for key, kind in schema.SETTINGS.items() if kind.types in ("number", "whole number")]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300, -(10**40), "1", None, [], True])
def test_number_settings_refuse_other_values(value):
    for key in NUMBERS:
        assert "number from" in schema._find_problem(value, schema.SETTINGS[key]), key


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"training__batch_size": 0}, "training.batch_size=0: it should be a whole number from 1 to"),
        ({"image__size": 10**6}, "image.size=1000000: it should be a whole number from 8 to 8192"),
        ({"image__size": 64.0}, "image.size=64.0: it should be a whole number"),
        ({"image__equalize": 1}, "image.equalize=1: it should be true or false"),
        ({"task": ""}, "task='': it should be one of segment, classify"),
        ({"saliency_eval__baseline": "gray"}, "saliency_eval.baseline='gray': it should be one of black, blur"),
        ({"patches__mode": "Local"}, "patches.mode='Local': it should be one of local, global, lung_bbox, dense"),
        ({"segmenter__architecture": 5}, "segmenter.architecture=5: it should be a text"),
        ({"pretrained_outputs": [0.5]}, "pretrained_outputs=[0.5]: it should be a list of whole numbers from 0 to"),
        ({"pretrained_outputs": [True]}, "pretrained_outputs"),
        (
            {"classifier__thresholds": [1.5]},
            "classifier.thresholds=[1.5]: it should be a list of numbers from 1e-06 to",
        ),
        ({"classifier__classes": "ab"}, "classifier.classes='ab': it should be a list of different texts"),
        ({"classifier__classes": ["a", "a"]}, "classifier.classes"),
        ({"classifier__classes": [["a"]]}, "classifier.classes"),
        ({"training__milestones": [0.5, -1]}, "training.milestones"),
        ({"training__param_groups": [["a"]]}, "training.param_groups"),
        ({"training__param_groups": [["a", "b"]]}, "training.param_groups"),
        ({"training__param_groups": [["(", 0.1]]}, "training.param_groups"),
        ({"training__class_weights": [None]}, "training.class_weights"),
        ({"training": {}}, "the setting training.epochs is missing"),
        ({"training": 5}, "there is no setting training"),
        ({"color": "red"}, "there is no setting color"),
        ({"\x1b[31m": 5}, r"there is no setting \x1b[31m"),
        ({"pretrained": "x" * 10**6}, "pretrained='xxx"),
    ],
)
def test_invalid_setting_error_names_setting_and_range(changes, message):
    with pytest.raises(schema.InvalidSettingError) as error:
        schema.check(settings(**changes))
    text = str(error.value)
    assert text.startswith(message) and len(text) < 400 and text.isprintable()


def test_every_entry_point_checks_the_settings(tmp_path):
    config = default_config()
    config.task = "segment"
    config.training.batch_size = 0
    for entry_point in (
        lambda: run_dir.create_or_resume(tmp_path / "run", freeze(config)),
        lambda: trainer.train(freeze(config), tmp_path / "run"),
        lambda: trainer.setup_workdir(freeze(config), tmp_path / "run"),
        lambda: weights.import_weights(freeze(config), "none.pth", tmp_path / "run"),
    ):
        with pytest.raises(schema.InvalidSettingError, match="^config: training.batch_size=0"):
            entry_point()
    assert not (tmp_path / "run" / "config.json").exists()


CONFIG_FILES = {
    b"": "not JSON",
    b"{": "not JSON",
    b"\xff\xfe": "not JSON",
    b"[]": "not a JSON object",
    b"5": "not a JSON object",
    b"[" * 100_000: "nested too deeply",
    b"{}": "the setting task is missing",
    b'{"task": "segment", "training": {"batch_size": 0}}': "the setting seed is missing",
    json.dumps(settings(training__batch_size=0)).encode(): "training.batch_size=0: it should be",
    json.dumps(settings(training__learning_rate=math.nan)).encode(): "training.learning_rate=nan: it should be",
    json.dumps(settings(other=3)).encode(): "there is no setting other",
    b'{"a":' * 900 + b"1" + b"}" * 900: "there is no setting",
}


@pytest.mark.parametrize("content", CONFIG_FILES, ids=range(len(CONFIG_FILES)))
def test_damaged_config_error_is_one_sentence_with_the_file_name(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises((run_dir.RunError, ValueError), match=CONFIG_FILES[content]) as error:
        run_dir.load_config(tmp_path)
    message = str(error.value)
    assert message.startswith(f"{tmp_path}/config.json: ") and len(message.splitlines()) == 1 and len(message) < 600


@pytest.mark.parametrize(
    "words, wanted",
    [
        (["-h"], ["--help"]),
        (["--config.classifier.classes=normal,covid19"], ["--config.classifier.classes=('normal', 'covid19')"]),
        (["--config.classifier.classes= a b , c,"], ["--config.classifier.classes=('a b', 'c')"]),
        (["--config.classifier.classes", "a,b"], ["--config.classifier.classes", "('a', 'b')"]),
        (["--config.classifier.classes=0,1"], ["--config.classifier.classes=('0', '1')"]),
        (["--config.classifier.classes=one"], ["--config.classifier.classes=('one',)"]),
        (["--config.classifier.classes=('a','b')"], ["--config.classifier.classes=('a','b')"]),
        (["--config.classifier.classes=['a']"], ["--config.classifier.classes=['a']"]),
        (["--config.classifier.classes=it's,b"], ["""--config.classifier.classes=("it's", 'b')"""]),
        (["--config.training.minority_classes="], ["--config.training.minority_classes=()"]),
        (["--config.training.class_weights=1,2.5"], ["--config.training.class_weights=1,2.5"]),
        (["--config.training.class_weights=inverse"], ["--config.training.class_weights=('inverse',)"]),
        (["--config.training.milestones=0.5,0.75"], ["--config.training.milestones=0.5,0.75"]),
        (["--config.segmenter.workdir=a,b", "--split=a,b"], ["--config.segmenter.workdir=a,b", "--split=a,b"]),
    ],
)
def test_lists_may_be_written_with_commas(words, wanted):
    assert arguments.normalize(words) == wanted


def test_tilde_at_the_start_of_a_path_is_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    words = ["--workdir=~/run", "--config.data.dir=~", "--input=~you/x", "--output=a~/b"]
    wanted = ["--workdir=/home/me/run", "--config.data.dir=/home/me", "--input=~you/x", "--output=a~/b"]
    assert arguments.normalize(words) == wanted


@pytest.mark.parametrize("text", ["(1,2)", "('a',", "(('a','b'),)", "{'a'}", "['a'", "(nan,)"])
def test_python_value_that_is_not_a_list_of_strings_is_refused(text):
    """It would be cut at its commas into classes such as "('a'"."""
    with pytest.raises(ValueError, match="classifier.classes=.* is not a list of texts; write it as a,b"):
        arguments.normalize([f"--config.classifier.classes={text}"])


def test_missing_paths_are_named(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    run, none = str(tmp_path / "run"), str(tmp_path / "none")
    find = arguments.find_missing
    assert find(True, [run, none], [], {}) == f"{none}: there is no run here (no config.json)"
    assert find(False, [none], [], {}) == ""
    assert find(True, [run], [run, none], {}) == f"{none}: no such file or directory"
    assert find(True, [run], [], {}, data=none).startswith(f"{none}: there is no prepared data set here")
    assert find(False, [], ["hf:a/b/c", "https://x/y#sha256=0"], {}) == ""
    for key, other in [("data__dir", "segment"), ("segmenter__workdir", "classify"), ("pretrained", "segment")]:
        assert find(False, [run], [], settings(other, **{key: none})).startswith(f"{none}: ")
        assert find(False, [run], [], settings(other, **{key: run})) == ""
    assert find(False, [run], [], settings("segment", data__dir=none, pretrained=none), trains=False) == ""
