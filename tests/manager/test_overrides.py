"""The user's own settings of a model: kept with us, never beside it; and they count at once."""

import errno
import json
import os
from pathlib import Path

import pytest

from studio.core.errors import InvalidRequest, ModelError, StorageError, UnknownName
from studio.core.models import ModelInfo, Override
from studio.core.options import find_model
from studio.manager.disk import cards
from studio.manager.disk.cards import Overrides, check_override
from studio.manager.disk.catalog import Catalog
from tests.models.sparse_headers import CASES, write_sparse


@pytest.fixture
def model(tmp_path: Path) -> Path:
    file, shapes, metadata, _ = CASES["SD 1.5"]
    return write_sparse(tmp_path / "models" / file, shapes, metadata=metadata)


@pytest.fixture
def catalog(model: Path, tmp_path: Path) -> Catalog:
    return Catalog((model.parent,), tmp_path / "private" / "catalog.db")


def only(catalog: Catalog) -> ModelInfo:
    (info,) = catalog.models()
    return info


def test_settings_are_kept_with_us_and_go_before_the_card(catalog: Catalog, model: Path) -> None:
    card = model.with_suffix(".unnoise.json")
    card.write_text(
        json.dumps({"description": "Mine.", "defaults": {"steps": 7}, "title": "Theirs", "vae": "vae/theirs"})
    )
    before = card.read_bytes()
    catalog.overrides.write(model, Override(title="Old faithful", prediction="v_prediction", vae=None))
    info = only(catalog)
    assert (info.title, info.capabilities.prediction, info.defaults.steps) == ("Old faithful", "v_prediction", 7)
    assert info.overridden == ("title", "prediction") and info.vae is None
    again = Catalog((model.parent,), catalog.overrides._file.with_name("catalog.db"))  # type: ignore[union-attr]
    assert only(again) == info
    again.overrides.write(model, Override(title=None))
    assert (only(catalog).title, only(catalog).capabilities.prediction) == ("Theirs", "v_prediction")
    assert card.read_bytes() == before


def test_a_word_that_can_be_kept_nowhere_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: Path, values: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cards, "write_json", refuse)
    with pytest.raises(StorageError, match="could not be kept: No space left on device"):
        Overrides(tmp_path / "overrides.json").write(tmp_path / "x.safetensors", Override(title="Mine"))
    with pytest.raises(StorageError, match="no folder for them"):
        Overrides(None).write(tmp_path / "x.safetensors", Override(title="Mine"))


def test_a_write_that_fails_leaves_the_old_card_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = tmp_path / "x.unnoise.json"
    card.write_text('{"title": "Old"}')

    def fail(source: object, target: object) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(cards.os, "replace", fail)
    with pytest.raises(OSError, match="broken"):
        cards.write_json(card, {"title": "New"})
    assert card.read_text() == '{"title": "Old"}' and list(tmp_path.iterdir()) == [card]


def test_a_broken_card_is_refused_and_a_broken_file_of_ours_holds_nothing(tmp_path: Path) -> None:
    model, kept = tmp_path / "x.safetensors", tmp_path / "overrides.json"
    kept.write_text('{"' + str(model) + '": {"title": 3, "colour": "red", "vae": "vae/a", "hidden": "yes"}, "y": []}')
    assert Overrides(kept).kept() == {str(model): {"vae": "vae/a"}}
    kept.write_text("{nonsense")
    assert Overrides(kept).kept() == {}
    (tmp_path / "x.unnoise.json").write_text("{nonsense")
    with pytest.raises(ModelError, match="not valid JSON"):
        Overrides(kept).write(model, Override(title="Mine"))


def test_a_model_is_hidden_and_brought_back(catalog: Catalog, model: Path) -> None:
    for card in ("{}", '{"hidden": true}'):
        model.with_suffix(".unnoise.json").write_text(card)
        catalog.overrides.write(model, Override(hidden=True))
        info = only(catalog)
        assert info.hidden and "hidden" in info.overridden
        assert find_model([info], info.id) == info  # its id addresses it all the same
        with pytest.raises(InvalidRequest, match="No usable model"):
            find_model([info], "default")
        catalog.overrides.write(model, Override(hidden=None))
        catalog.overrides.write(model, Override(hidden=None))  # the card's own too
        assert not only(catalog).hidden and only(catalog).overridden == ()


def test_a_bad_file_can_be_hidden(catalog: Catalog, model: Path) -> None:
    model.write_bytes(b"")
    info = only(catalog)
    check_override(info, Override(hidden=True), [info])
    catalog.overrides.write(model, Override(hidden=True))
    assert only(catalog).hidden and only(catalog).problem == info.problem


def test_words_that_nothing_goes_by_are_refused() -> None:
    checkpoint = ModelInfo(id="a", title="A", kind="checkpoint")
    folder, lora = checkpoint.model_copy(update={"kind": "diffusers"}), checkpoint.model_copy(update={"kind": "lora"})
    vae = ModelInfo(id="vae/clear", title="Clear", kind="vae")
    check_override(checkpoint, Override(family="sdxl", vae="vae/clear"), [checkpoint, vae])
    check_override(lora, Override(title="Ink"), [lora])
    with pytest.raises(UnknownName, match="Choose one of: vae/clear"):
        check_override(checkpoint, Override(vae="a"), [checkpoint, vae])
    with pytest.raises(UnknownName, match="family"):
        check_override(checkpoint, Override(family="sd99"), [])
    with pytest.raises(InvalidRequest, match=r"model_index\.json"):
        check_override(folder, Override(family="sdxl"), [])
    with pytest.raises(InvalidRequest, match="only its title"):
        check_override(lora, Override(vae="vae/clear"), [vae])
