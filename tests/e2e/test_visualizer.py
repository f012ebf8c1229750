"""The Visualizer over one opened page: scrubbing, playing, what is on the canvas, the address; and its arithmetic against diffusers,
numpy and safetensors."""

import base64
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect
from safetensors.numpy import save

from studio.core.request import GenerationRequest
from tests.e2e.conftest import Visitor
from tests.ui.fake_studio import FakeStudio

pytestmark = pytest.mark.browser
STEPS = 12

# The largest difference between what a canvas shows and the frame as the server sends it, and the canvas's size.
COMPARE = """async ([name, path]) => {
  const canvas = document.querySelector(`[data-testid=vis-${name}]`);
  const picture = new Image();
  picture.src = new URL(path, document.baseURI).href;
  await picture.decode();
  const other = document.createElement("canvas");
  Object.assign(other, { width: picture.naturalWidth, height: picture.naturalHeight });
  other.getContext("2d").drawImage(picture, 0, 0);
  const read = (each) => each.getContext("2d").getImageData(0, 0, other.width, other.height).data;
  const [shown, sent] = [read(canvas), read(other)];
  return [canvas.width, Math.max(...shown.map((value, at) => Math.abs(value - sent[at])))];
}"""


@pytest.fixture(scope="module")
def page(visitor: Visitor, address: str, session_studio: FakeStudio) -> Iterator[Page]:
    session_studio.forget()
    session_studio.submit(GenerationRequest(prompt="a red heart", steps=STEPS, seed=3, sampler="euler"))
    page = visitor.own_page({"width": 1280, "height": 900})
    visitor.faults.clear()
    visitor.addresses.append(address)
    page.goto(f"{address}/#visualizer", wait_until="commit")
    expect(page.locator(".vis-body")).to_have_attribute("data-frames", "ready")
    yield page
    visitor.forget()
    assert visitor.faults == []


def body(page: Page) -> Locator:
    return page.locator(".vis-body")


def at_step(page: Page, step: int) -> None:
    expect(body(page)).to_have_attribute("data-step", str(step))


def module(page: Page, name: str, code: str, argument: Any = None) -> Any:
    """`code` is a function of the script's exports and the argument."""
    load = f"""async (argument) => {{
      const styles = document.querySelector("link[href*='/ui/'], link[href^='ui/']").href;
      const found = await import(styles.replace(/[^/]*$/, "{name}.js"));
      return ({code})(found, argument);
    }}"""
    return page.evaluate(load, argument)


def scrubbing_shows_the_frames_of_the_step_without_asking_the_server(page: Page) -> None:
    slider = page.get_by_role("slider", name="Time")
    at_step(page, STEPS)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    slider.focus()
    page.keyboard.press("Home")
    at_step(page, 1)
    for step in range(2, 6):
        page.keyboard.press("ArrowRight")
        at_step(page, step)
    assert [url for url in asked if "frames" in url] == []
    job = body(page).get_attribute("data-run")
    for name, kind in (("xt", "xt"), ("x0", "x0")):
        width, difference = page.evaluate(COMPARE, [name, f"frames/{job}/0/4.jpg?kind={kind}"])
        assert width > 0 and difference == 0
    expect(page.locator(".vis-readout")).to_contain_text(f"5 of {STEPS}")
    expect(page).to_have_url(re.compile(r"#visualizer\?image=\w+&step=5$"))


def a_held_step_is_compared_and_playing_ends_at_the_last(page: Page) -> None:
    page.get_by_role("button", name="Hold this step").click()
    page.get_by_role("slider", name="Time").focus()
    page.keyboard.press("Home")
    expect(page.locator(".vis-picture[data-term=change]")).to_contain_text("against step 5")
    page.get_by_role("button", name="Release").click()
    page.get_by_role("button", name="Play", exact=True).click()
    at_step(page, STEPS)
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    assert "Euler" in page.locator(".vis-explained").inner_text()


def test_the_steps_of_a_run_are_scrubbed_held_and_played(page: Page) -> None:
    """One page, on which each part begins where the one before it ended."""
    scrubbing_shows_the_frames_of_the_step_without_asking_the_server(page)
    a_held_step_is_compared_and_playing_ends_at_the_last(page)


def test_the_forward_view_moves_between_steps_and_a_phone_needs_no_sideways_scrolling(page: Page) -> None:
    page.locator("[name=vis-view][value=forward]").check(force=True)
    shown = page.get_by_test_id("vis-forward-cosine")
    expect(shown).to_be_visible()
    slider = page.get_by_role("slider", name="Time")
    expect(slider).to_have_attribute("max", "1000")
    slider.fill("1000")
    expect(page.locator(".vis-readout")).to_contain_text("0.001")
    clean = page.evaluate("document.querySelector('[data-testid=vis-forward-cosine]').toDataURL()")
    slider.fill("0")
    expect(page.locator(".vis-readout")).to_contain_text("1.000")
    assert page.evaluate("document.querySelector('[data-testid=vis-forward-cosine]').toDataURL()") != clean
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("document.documentElement.scrollWidth <= innerWidth")  # once it is drawn anew
    page.set_viewport_size({"width": 1280, "height": 900})


def test_the_schedules_are_those_of_diffusers(page: Page) -> None:
    from diffusers import DDPMScheduler, EDMEulerScheduler

    found = module(page, "visualizer_schedules", "({ SCHEDULES }) => Object.fromEntries(SCHEDULES.map((s) => [s.name, { alphaBar: [...s.alphaBar], sigma: [...s.sigma], alpha: [...s.alpha], ratio: [...s.ratio] }]))")  # fmt: skip
    stable = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    theirs = {
        "linear": DDPMScheduler(),
        "scaled_linear": DDPMScheduler(**stable),
        "cosine": DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        "sigmoid": DDPMScheduler(beta_schedule="sigmoid"),
        "zero_snr": DDPMScheduler(**stable, rescale_betas_zero_snr=True),
    }
    for name, scheduler in theirs.items():
        assert np.allclose(found[name]["alphaBar"], scheduler.alphas_cumprod.numpy(), atol=1e-5), name
    edm = EDMEulerScheduler(sigma_max=80.0, sigma_min=0.002)
    edm.set_timesteps(1000)
    assert np.allclose(found["edm"]["ratio"], edm.sigmas.numpy()[:1000][::-1], rtol=1e-4)
    assert np.allclose(np.add(found["flow"]["alpha"], found["flow"]["sigma"]), 1)


def test_noise_spectrum_and_the_chain_are_as_numpy_and_the_closed_form_have_them(page: Page) -> None:
    drawn = module(page, "visualizer_signal", "({ gaussian }) => [...gaussian(20000, 7)]")
    assert abs(np.mean(drawn)) < 0.03 and abs(np.std(drawn) - 1) < 0.02
    values = np.random.default_rng(0).normal(size=(16, 16))
    ours = module(page, "visualizer_signal", "({ fourier }, x) => { const f = fourier(x, 16); return [[...f.real], [...f.imaginary]]; }", values.flatten().tolist())  # fmt: skip
    theirs = np.fft.fft2(values).flatten() / 16
    assert np.allclose(ours[0], theirs.real) and np.allclose(ours[1], theirs.imag)
    walked = module(page, "visualizer_signal", "({ chain }, x) => { const betas = Array(100).fill(0.02); const { signal, noise } = chain(x, betas, 1); return [signal.at(-1), noise.at(-1)]; }", [1.0, -1.0] * 2000)  # fmt: skip
    assert walked == pytest.approx([0.98**50, (1 - 0.98**100) ** 0.5], abs=0.05)


def test_the_samplers_formulas_are_those_of_diffusers(page: Page) -> None:
    """The posterior of DDPM, and DPM++ 2M's coefficients, put to work on numbers."""
    import torch
    from diffusers import DDPMScheduler, DPMSolverMultistepScheduler

    ddpm = DDPMScheduler(clip_sample=False)
    bars = ddpm.alphas_cumprod
    ours = module(page, "visualizer_numbers", "({ posterior }, [a, b]) => posterior(a, b)", [float(bars[500]), float(bars[499])])  # fmt: skip
    ddpm.set_timesteps(1000)
    out, x = torch.tensor([[0.3]]), torch.tensor([[0.8]])
    x0 = (x - (1 - bars[500]).sqrt() * out) / bars[500].sqrt()
    step = ddpm.step(out, 500, x, generator=torch.Generator().manual_seed(0)).prev_sample
    noise = torch.randn((1, 1), generator=torch.Generator().manual_seed(0))
    assert float(step) == pytest.approx(
        float(ours["ofX0"] * x0 + ours["ofXt"] * x + ours["deviation"] * noise), abs=1e-3
    )

    solver = DPMSolverMultistepScheduler(timestep_spacing="trailing", final_sigmas_type="zero")
    solver.set_timesteps(20)
    levels = [{"timestep": float(t), "sigma": float(s)} for t, s in zip(solver.timesteps, solver.sigmas, strict=False)]
    state, guesses, states = torch.tensor([[0.8]]), [], []
    for timestep in solver.timesteps:
        alpha, sigma = solver._sigma_to_alpha_sigma_t(solver.sigmas[len(states)])
        states.append(float(state))
        guesses.append(float((state - sigma * out) / alpha))
        state = solver.step(out, timestep, state).prev_sample
    states.append(float(state))
    code = """async ({ numbersAt }, steps) => {
      const { levelOf } = await import(document.querySelector("link[href*='ui/']").href.replace(/[^/]*$/, "visualizer_levels.js"));
      const run = { levels: steps.map((step) => levelOf(step, "epsilon")), facts: {}, request: {}, image: 0, steps: steps.map(() => ({ norms: [], images: [0] })) };
      return steps.map((_, at) => { const { keep, take, ahead } = numbersAt(run, at); return [keep, take, ahead]; });
    }"""
    for at, (keep, take, ahead) in enumerate(module(page, "visualizer_numbers", code, levels)):
        guess = (1 + ahead) * guesses[at] - ahead * guesses[at - 1]
        assert keep * states[at] + take * guess == pytest.approx(states[at + 1], abs=2e-3), at


def test_traces_are_read_as_safetensors_has_them(page: Page) -> None:
    values = np.array([[1.5, -0.25, 65504.0], [6e-8, 0.1, -3.0]])
    file = save({"half": values.astype(np.float16), "whole": values.astype(np.float32)}, {"trace": "{}"})
    read = """({ parse, row }, text) => {
      const file = parse(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
      return ["half", "whole"].map((name) => [0, 1].map((at) => [...row(file, name, at)]));
    }"""
    half, whole = module(page, "visualizer_trace", read, base64.b64encode(file).decode())
    assert np.array_equal(half, values.astype(np.float16)) and np.array_equal(whole, values.astype(np.float32))
    short = "({ parse }, text) => { try { parse(Uint8Array.from(atob(text), (l) => l.charCodeAt(0)).buffer); return ''; } catch (error) { return error.message; } }"
    assert "damaged" in module(page, "visualizer_trace", short, base64.b64encode(file[:-4]).decode())
