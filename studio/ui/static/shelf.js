// The Models tab: memory as a bar of components against the budget, and below it every file of the models folders.

import { make } from "./bench.js";

const ASK_MS = 4000;

export function mount({ element, server }) {
  const body = element.querySelector(".shelf-body");
  const purpose = make("p", { class: "shelf-purpose" });
  const bar = make("div", { class: "shelf-bar", role: "img" });
  const figures = make("p", { class: "shelf-figures" });
  const legend = make("ul", { class: "shelf-legend" });
  const slider = make("input", { type: "range", id: "shelf-budget", min: 0, step: 2 ** 26 });
  const limit = make("output", { class: "shelf-size", for: "shelf-budget" });
  const empty = make("button", { type: "button", class: "shelf-button", text: "Unload all", onclick: () => ask({ action: "unload" }) });
  const search = make("input", { type: "search", id: "shelf-search", placeholder: "Name, family or kind" });
  const kind = make("select", { id: "shelf-kind" });
  const count = make("p", { class: "shelf-count", role: "status" });
  const list = make("ul", { class: "shelf-list" });
  body.append(
    purpose,
    make("section", { class: "shelf-memory" }, make("h2", { text: "In memory" }), bar, figures, legend,
      make("div", { class: "shelf-controls" }, labelled("Memory budget", slider), limit, empty)),
    make("section", {},
      make("div", { class: "shelf-head" },
        make("h2", { text: "On disk" }),
        labelled("Search models", search),
        labelled("Kind", kind),
        count),
      list),
  );

  let models = [];
  let memory = { used: 0, budget: 0, residents: [], models: [], pinned: [] };
  let held = false; // the slider is being moved
  let drawn = "";

  const draw = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = models.filter((model) => {
      const text = `${model.title} ${model.id} ${model.family} ${model.kind} ${model.marks.join(" ")}`.toLowerCase();
      return (!kind.value || model.kind === kind.value) && words.every((word) => text.includes(word));
    });
    count.textContent = wanted.length === models.length ? `${models.length} files` : `${wanted.length} of ${models.length} files`;
    list.replaceChildren(...wanted.map((model) => row(model, memory, ask)));
  };

  const show = (told) => {
    if (told.problem) {
      figures.textContent = told.problem;
      return;
    }
    purpose.textContent = told.purpose;
    showMemory(told.memory);
    showBudget(told.memory);
    memory = told.memory;
    const now = JSON.stringify([told.models, memory.models, memory.pinned]);
    if (now === drawn) return;
    drawn = now;
    models = told.models;
    const kinds = [...new Set(models.map((model) => model.kind))].sort();
    const chosen = kind.value;
    kind.replaceChildren(
      make("option", { value: "", text: "All kinds" }),
      ...kinds.map((name) => make("option", { value: name, text: name })),
    );
    kind.value = kinds.includes(chosen) ? chosen : "";
    draw();
  };

  const showBudget = ({ used, budget, device }) => {
    slider.disabled = !budget;
    empty.disabled = !used;
    if (held || !budget) return;
    const most = Math.max(budget, Number(slider.max) || 0);
    slider.max = most;
    slider.value = budget;
    limit.textContent = size(budget);
  };

  const showMemory = ({ used, budget, device, residents }) => {
    const whole = Math.max(budget, used, 1);
    bar.replaceChildren(...residents.map(([name, bytes], number) => {
      const part = make("div", { class: "shelf-part", title: `${title(name)}: ${size(bytes)}` });
      part.style.flexBasis = `${(100 * bytes) / whole}%`;
      part.style.opacity = String(1 - 0.16 * (number % 5));
      return part;
    }));
    const sentence = budget
      ? `${size(used)} of ${size(budget)} on ${device || "this device"}`
      : "No model has been read yet.";
    figures.textContent = sentence;
    bar.setAttribute("aria-label", `Memory of models: ${sentence}`);
    legend.replaceChildren(...residents.map(([name, bytes]) =>
      make("li", {}, make("span", { text: title(name) }), make("span", { class: "shelf-size", text: size(bytes) }))));
  };

  search.addEventListener("input", draw);
  kind.addEventListener("change", draw);

  let asked = null;
  const ask = async (command) => {
    clearTimeout(asked);
    if (command) {
      const answer = await server.manage(command).catch(() => ({ problem: "No connection" }));
      if (answer.problem) {
        figures.textContent = answer.problem;
        asked = setTimeout(ask, ASK_MS);
        return;
      }
    }
    if (document.visibilityState === "visible" && element.offsetParent !== null) {
      try {
        show(await server.overview());
      } catch {
        figures.textContent = "No connection";
      }
    }
    asked = setTimeout(ask, command ? 400 : ASK_MS); // soon after a wish, to see it fulfilled
  };
  slider.addEventListener("input", () => {
    held = true;
    limit.textContent = size(Number(slider.value));
  });
  slider.addEventListener("change", () => {
    held = false;
    const wish = Number(slider.value);
    ask({ action: "budget", bytes: wish >= Number(slider.max) ? null : Math.max(wish, 1) });
  });
  // The tab's contents are there before it is opened; the first sight of them is when to ask.
  new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && ask()).observe(element);
}

function row(model, memory, ask) {
  const item = make("li", { class: "shelf-row" });
  const name = make("div", { class: "shelf-name" }, make("span", { class: "shelf-title", text: model.title }));
  for (const mark of [model.family, ...model.marks].filter(Boolean)) name.append(make("span", { class: "shelf-mark", text: mark }));
  const facts = make("div", { class: "shelf-facts" }, make("span", { text: model.kind }), make("span", { class: "shelf-size", text: size(model.bytes) }));
  const there = memory.models.includes(model.id);
  const pinned = memory.pinned.includes(model.id);
  if (there) name.append(make("span", { class: "shelf-mark is-there", text: pinned ? "in memory, pinned" : "in memory" }));
  if (model.usable) {
    const act = (action, text) => facts.append(make("button", { type: "button", class: "shelf-button", text, "aria-label": `${text} ${model.title}`, onclick: () => ask({ action, model: model.id }) }));
    act(there ? "unload" : "load", there ? "Unload" : "Load");
    act(pinned ? "unpin" : "pin", pinned ? "Unpin" : "Pin");
  }
  item.append(name, facts, make("div", { class: "shelf-id", text: model.id, title: model.sha256 ? `sha256 ${model.sha256}` : "" }));
  if (model.description) item.append(make("p", { class: "shelf-description", text: model.description }));
  if (model.problem) item.append(make("p", { class: "shelf-problem", text: model.problem }));
  return item;
}

function labelled(text, control) {
  return make("label", { class: "shelf-label", for: control.id }, make("span", { text }), control);
}

function title(name) {
  const words = { unet: "U-Net", vae: "VAE", text_encoder: "Text encoder", transformer: "Transformer" };
  return words[name] ?? name.replaceAll("_", " ").replace(/^./, (letter) => letter.toUpperCase());
}

function size(bytes) {
  if (bytes >= 2 ** 30) return `${(bytes / 2 ** 30).toFixed(2)} GiB`;
  return `${(bytes / 2 ** 20).toFixed(bytes < 10 * 2 ** 20 ? 1 : 0)} MiB`;
}
