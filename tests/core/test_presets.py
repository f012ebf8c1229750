"""The presets and styles that ship are legal and speak the starter models' language; a wrong file harms no other."""

from pathlib import Path

import pytest

from studio.core.models import Capabilities, ModelInfo
from studio.core.options import resolve
from studio.core.presets import read_presets, read_styles
from studio.core.request import GenerationRequest, parse_request
from studio.training.datasets.tinyworld.parsing import parse


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_every_shipped_preset_runs_on_the_starter_families(root: Path, prediction: str) -> None:
    presets = read_presets(root / "presets")
    assert {"quick", "standard", "careful"} <= {preset.name for preset in presets}
    for family in ("sd1", "pixart"):
        model = ModelInfo(id="m", title="M", kind="diffusers", family=family)
        model = model.model_copy(update={"capabilities": Capabilities(prediction=prediction)})
        for preset in presets:
            assert preset.title and preset.description
            resolve(parse_request({"prompt": "a red star"} | preset.values), model)


def test_every_shipped_style_is_understood_by_the_data_set(root: Path) -> None:
    styles = read_styles(root / "presets")
    assert len(styles) > 10
    for style in styles:
        parse(style.prompt.replace("{prompt}", "a large red star"))


def test_a_wrong_file_is_left_out_with_a_sentence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "generation"
    folder.mkdir()
    (folder / "a.yaml").write_text(
        "- {name: good, title: Good, values: {steps: 9}}\n- {name: bad, title: B, values: {steps: 0}}"
    )
    (folder / "b.yaml").write_text("- [unclosed")
    (folder / "c.yaml").write_text("just words")
    (folder / "d.yaml").write_text("- {title: nameless}\n- {name: x, title: X, values: {no_such: 1}}")
    (tmp_path / "styles.yaml").write_text(
        "- {name: s, title: S, prompt: no place}\n- {name: t, title: T, prompt: '{prompt}!'}"
    )
    presets = read_presets(tmp_path)
    assert [preset.name for preset in presets] == ["good"]
    assert GenerationRequest(**presets[0].values).steps == 9
    assert [style.name for style in read_styles(tmp_path)] == ["t"]
    assert "Steps must be" in caplog.text and "b.yaml cannot be read" in caplog.text
    assert read_presets(tmp_path / "nowhere") == [] and read_styles(tmp_path / "nowhere") == []
