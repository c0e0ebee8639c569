"""Recipes: the files that come along, their legs, and what does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from faceloom.checkpoints.progress import RecipeProgress
from faceloom.core import InputError
from faceloom.models import MODELS
from faceloom.training.recipes import load_recipe, recipe_names
from faceloom.training.settings import first_settings


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_makes_legal_models_at_every_stage(name: str) -> None:
    recipe = load_recipe(name).recipe
    settings = first_settings(recipe.model, {**recipe.settings, **recipe.stages[0].settings})
    kind = MODELS[recipe.model].settings
    for stage in recipe.stages:
        settings = kind.model_validate({**settings.model_dump(), **stage.settings})
        assert not set(stage.settings) & set(kind.structural)
    assert len(recipe.about) > 40


def test_the_published_recipes() -> None:
    """docs/internals/golden.md, number by number."""
    old, new, day = (load_recipe(f"rtm-{name}").recipe for name in ("old", "new", "day"))
    assert [stage.iterations for stage in old.stages] == [2_000_000, 500_000, 700_000]
    assert (old.stages[0].reset_every, old.stages[0].reset_networks) == (500_000, ("inter_AB",))
    assert [stage.iterations for stage in new.stages] == [500_000, 500_000, 700_000]
    assert [stage.iterations for stage in day.stages[:2]] == [25_000, 30_000]
    assert day.stages[1].reset == ("inter_AB",)
    for recipe in (old, new, day):
        values = dict(recipe.settings)
        assert (values["archi"], values["resolution"], values["batch_size"]) == ("liae-udt", 224, 8)
        dims = [values[key] for key in ("ae_dims", "e_dims", "d_dims", "d_mask_dims")]
        assert dims == [512, 64, 64, 32]
        assert values["blur_out_mask"] and values["uniform_yaw"] and values["lr_dropout"] == "y"
        last = recipe.stages[-1].settings
        assert (last["gan_power"], last["gan_patch_size"], last["gan_dims"]) == (0.1, 28, 32)
        assert last["random_warp"] is False


def test_stage_runs_of_a_stage_with_resets() -> None:
    run = load_recipe("rtm-old", scale=1e-4)
    progress = run.start(10, 0.0)
    ends: list[tuple[int | None, bool]] = []
    for _ in range(4):
        stage_run = run.stage_run(progress)
        assert stage_run is not None
        ends.append((stage_run.until, stage_run.ends_stage))
        progress = progress.model_copy(update={"resets": progress.resets + 1})
    assert ends == [(60, False), (110, False), (160, False), (210, True)]
    following = run.next_stage(progress, 210, 5.0)
    stage_run = run.stage_run(following)
    assert stage_run is not None and stage_run.stage.name == "settle"
    assert (stage_run.until, stage_run.ends_stage) == (260, True)
    done = following.model_copy(update={"stage": 3})
    assert run.stage_run(done) is None


def test_a_small_scale_leaves_windows_that_mean_something() -> None:
    """A thousandth of a stage must not end because sixteen losses happened to be high."""
    windows: list[int] = []
    for scale in (1.0, 0.25, 0.001):
        run = load_recipe("quick", scale=scale)
        stage_run = run.stage_run(run.start(0, 0.0))
        assert stage_run is not None and stage_run.stage.flat is not None
        windows.append(stage_run.stage.flat.window)
    assert windows == [4000, 1000, 500]


def test_progress_belongs_to_one_content_and_scale() -> None:
    one, other = load_recipe("saehd"), load_recipe("saehd", scale=0.5)
    assert one.belongs(one.start(0, 0.0))
    assert not other.belongs(one.start(0, 0.0))
    assert not one.belongs(RecipeProgress(recipe="saehd", digest="0"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("about = 1", "about"),
        ('about="x"\nmodel="SAEHD"\nstages=[]', "stages"),
        ('about="x"\nmodel="XYZ"\n[[stages]]\nname="a"', "XYZ"),
        ('about="x"\nmodel="SAEHD"\n[[stages]]\nname="a"\n[[stages]]\nname="b"', "never ends"),
        ('about="x"\nmodel="SAEHD"\n[[stages]]\nname="a"\nreset_every=5', "need each other"),
        ('about="x"\nmodel="SAEHD"\n[[stages]]\nname="a"\nloops=5', "loops"),
        ('about="x"\nmodel="SAEHD"\n[[stages]]\nname="a"\nsettings={pretrain=true}', "pretrain"),
        ("about = ", "not valid TOML"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        load_recipe(str(file))
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="known: amp"):
        load_recipe("saehdd")
    with pytest.raises(InputError, match="cannot read this recipe"):
        load_recipe(str(tmp_path / "none.toml"))
