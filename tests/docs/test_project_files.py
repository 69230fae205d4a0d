"""Files for GitHub and for citing agree with the project."""

import re
import tomllib
from pathlib import Path

import pytest

import cxrjax

ROOT = Path(__file__).resolve().parents[2]
PROJECTS = ("jongcye", "manastahir", "fsarshad", "hieu2695", "singhaxn")
yaml = pytest.importorskip("yaml")


def test_workflows_run_makefile_rules_on_every_supported_python() -> None:
    rules = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    files = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    for path in files:
        jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
        for job in jobs.values():
            for step in job["steps"]:
                assert set(re.findall(r"\bmake (\w+)", step.get("run", ""))) <= rules, path
    tests = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8"))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    versions = re.findall(r"Python :: (3\.\d+)", project)
    assert tests["jobs"]["tests"]["strategy"]["matrix"]["python"] == versions


def test_citation_has_version_paper_and_all_five_projects() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == cxrjax.__version__
    assert citation["references"][0]["doi"] == "10.1109/TMI.2020.2993291"
    owners = [reference["repository-code"].split("/")[3] for reference in citation["references"][1:]]
    assert owners == list(PROJECTS)


def test_named_extras_exist_and_the_container_user_is_not_root() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = set(project["optional-dependencies"])
    assert {"cuda13", "tpu", "serve", "dicom", "hub", "kaggle", "beam", "onnx", "all", "test", "docs"} <= extras
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    named = set(re.search(r"'\.\[([\w,]+)\]'", dockerfile)[1].split(","))
    for folder in ("cxrjax", "data_prep", "docs"):
        for path in (path for path in (ROOT / folder).rglob("*.*") if path.suffix in (".py", ".md", ".html")):
            text = path.read_text(encoding="utf-8")
            named |= {name for names in re.findall(r"cxrjax\[([\w,]+)\]", text) for name in names.split(",")}
    assert named <= extras, named - extras
    assert "\nUSER reader\n" in dockerfile and dockerfile.index("USER reader") < dockerfile.index("ENTRYPOINT")
