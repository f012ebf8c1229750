"""The user's own word on a model: kept beside it, or with us where nothing may be written; and it counts at once."""

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


def refuse_beside(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    """The models folder is on a disk that may only be read."""
    write = cards.write_json

    def write_elsewhere(file: Path, values: dict[str, object]) -> None:
        if file.parent == model.parent:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        write(file, values)

    monkeypatch.setattr(cards, "write_json", write_elsewhere)


def only(catalog: Catalog) -> ModelInfo:
    (info,) = catalog.models()
    return info


def test_a_word_is_written_into_the_card_and_its_other_keys_stay(catalog: Catalog, model: Path) -> None:
    card = model.with_suffix(".unnoise.json")
    card.write_text(json.dumps({"description": "Mine.", "defaults": {"steps": 7}}))
    catalog.overrides.write(model, Override(title="Old faithful", prediction="v_prediction"))
    assert json.loads(card.read_text()) == {
        "description": "Mine.",
        "defaults": {"steps": 7},
        "title": "Old faithful",
        "prediction": "v_prediction",
    }
    info = only(catalog)
    assert (info.title, info.capabilities.prediction, info.defaults.steps) == ("Old faithful", "v_prediction", 7)
    assert info.overridden == ("title", "prediction")
    catalog.overrides.write(model, Override(title=None))
    assert (only(catalog).title, only(catalog).capabilities.prediction) == (model.stem, "v_prediction")


def test_the_last_word_taken_back_leaves_no_card(catalog: Catalog, model: Path) -> None:
    catalog.overrides.write(model, Override(title="Old faithful"))
    catalog.overrides.write(model, Override(title=None))
    assert [file.name for file in model.parent.iterdir()] == [model.name]


def test_where_nothing_may_be_written_beside_it_the_word_is_kept_with_us(
    catalog: Catalog, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_beside(monkeypatch, model)
    before = only(catalog).title
    catalog.overrides.write(model, Override(title="Old faithful", variant="inpaint"))
    assert (only(catalog).title, only(catalog).variant) == ("Old faithful", "inpaint")
    assert [file.name for file in model.parent.iterdir()] == [model.name]
    again = Catalog((model.parent,), catalog.overrides._file.with_name("catalog.db"))  # type: ignore[union-attr]
    assert only(again).title == "Old faithful"
    again.overrides.write(model, Override(title=None))
    assert (only(catalog).title, only(catalog).variant) == (before, "inpaint")


def test_a_card_that_cannot_be_written_is_overruled_and_its_word_comes_back(
    catalog: Catalog, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.with_suffix(".unnoise.json").write_text(json.dumps({"title": "Theirs", "vae": "vae/theirs"}))
    refuse_beside(monkeypatch, model)
    catalog.overrides.write(model, Override(title="Mine", vae=None))
    assert (only(catalog).title, only(catalog).vae) == ("Mine", None)
    catalog.overrides.write(model, Override(title=None))
    assert (only(catalog).title, only(catalog).vae) == ("Theirs", None)


def test_what_is_shipped_is_never_changed(catalog: Catalog, model: Path) -> None:
    card = model.with_suffix(".unnoise.json")
    card.write_text(json.dumps({"shipped": True, "title": "Ours"}))
    before = card.read_bytes()
    catalog.overrides.write(model, Override(title="Mine"))
    assert card.read_bytes() == before and only(catalog).title == "Mine"


def test_a_word_that_can_be_kept_nowhere_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: Path, values: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cards, "write_json", refuse)
    with pytest.raises(StorageError, match="could not be kept: No space left on device"):
        Overrides(tmp_path / "overrides.json").write(tmp_path / "x.safetensors", Override(title="Mine"))
    with pytest.raises(StorageError, match="may not be written to"):
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


def test_a_model_is_hidden_and_brought_back_wherever_the_word_is_kept(
    catalog: Catalog, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for prepare in (lambda: None, lambda: refuse_beside(monkeypatch, model)):
        prepare()
        catalog.overrides.write(model, Override(hidden=True))
        info = only(catalog)
        assert info.hidden and "hidden" in info.overridden
        assert find_model([info], info.id) == info  # its id addresses it all the same
        with pytest.raises(InvalidRequest, match="No usable model"):
            find_model([info], "default")
        catalog.overrides.write(model, Override(hidden=None))
        assert not only(catalog).hidden and only(catalog).overridden == ()


def test_a_card_that_hides_and_cannot_be_written_is_overruled(
    catalog: Catalog, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.with_suffix(".unnoise.json").write_text('{"hidden": true}')
    refuse_beside(monkeypatch, model)
    catalog.overrides.write(model, Override(hidden=None))
    assert not only(catalog).hidden


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
