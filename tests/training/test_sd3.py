"""What is trained as SD 3 is what the stock pipeline samples."""

import numpy as np
import pytest
import torch
from diffusers import StableDiffusion3Pipeline
from diffusers.models.attention_processor import JointAttnProcessor2_0

from studio.training.export import ship
from studio.training.schedules import schedules
from studio.training.trainer import Trainer

FLOW = {"objective": "flow", "schedule": "flow_logit_normal"}


@pytest.fixture
def learner(diffusion, tmp_path):
    learner = Trainer(diffusion("sd3", FLOW), tmp_path / "run").learner
    for parameter in learner.model.parameters():  # its blocks begin as the identity, which would hide what differs
        torch.nn.init.normal_(parameter, std=0.2)
    return learner


@torch.no_grad()
def test_one_weighted_row_acts_as_the_rows_of_zeros_that_the_stock_pipeline_adds(learner):
    batch = learner.batch(0)
    text = learner.backbone.encode(learner.text, batch["ids"], batch["mask"])
    x, t = batch["eps"], torch.full((4,), 500.0)
    ours = learner.backbone.predict(learner.model, x, t, text, batch["mask"])
    learner.model.set_attn_processor(JointAttnProcessor2_0())
    for sample, rows in ((0, 1), (3, 256)):
        tokens = torch.cat([text[0][sample : sample + 1], torch.zeros(1, rows, text[0].shape[2])], dim=1)
        pooled = text[1][sample : sample + 1]
        stock = learner.model(x[sample : sample + 1], tokens, pooled, t[:1], return_dict=False)[0]
        torch.testing.assert_close(ours[sample : sample + 1], stock, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_text_is_encoded_as_the_stock_pipeline_encodes_it(learner):
    captions = ["a red heart, night", ""]
    ids = learner.tokenizer(captions, padding="max_length", return_tensors="pt").input_ids
    tokens, pooled = learner.backbone.encode(learner.text, ids, ids)
    stock = learner.pipeline().encode_prompt(captions, None, None, do_classifier_free_guidance=False)
    torch.testing.assert_close(stock[0][:, : tokens.shape[1]], tokens)
    assert stock[0][:, tokens.shape[1] :].count_nonzero() == 0
    torch.testing.assert_close(stock[2], pooled)


def test_the_export_loads_without_us_and_ships_in_half_precision(diffusion, tmp_path):
    list(Trainer(diffusion("sd3", FLOW, steps=2), tmp_path / "run").run())
    ship(tmp_path / "run" / "model", tmp_path / "shipped")
    pipeline = StableDiffusion3Pipeline.from_pretrained(tmp_path / "shipped", dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    image = pipeline("a red heart", num_inference_steps=2, generator=torch.Generator().manual_seed(0)).images[0]
    assert image.size == (64, 64)
    assert np.asarray(image).std() > 0


def test_logit_normal_times_favour_the_middle_and_reach_the_ends():
    u = (torch.arange(1000) + 0.5).double() / 1000
    u = u[torch.randperm(1000, generator=torch.Generator().manual_seed(0))]
    t = schedules.get("flow_logit_normal")().times(u) / 1000
    assert 0 < t.min() < 0.01 < 0.99 < t.max() <= 1
    assert t.mean() == pytest.approx(0.5, abs=0.01)
    middle = ((t > 0.25) & (t < 0.75)).double().mean()
    assert middle == pytest.approx(0.9 * 0.728 + 0.1 * 0.5, abs=0.02)
