// Recent results. One click shows an image and brings its settings back.

import { address, workbenchOf, make } from "./workbench.js";
import { isSketch } from "./feed.js";
import { icon } from "./icons.js";
import { studio } from "./studio.js";

const NAME_LENGTH = 60;

export function mount({ element, props, trigger, watch, server }) {
  const workbench = workbenchOf(element);
  const list = make("ul", { class: "results", "aria-label": "Recent results" });
  const only = make("button", { type: "button", class: "strip-only", "aria-pressed": "false", title: "Favourites only", "aria-label": "Favourites only" }, icon("favourite"));
  const none = make("p", { class: "nothing", text: "Your pictures will be kept here." });
  element.querySelector(".strip-body").append(make("div", { class: "strip-head" }, make("h2", { class: "strip-title", text: "Recent" }), only), list, none);
  let shown = null;
  let items = [];

  const favourites = () => only.getAttribute("aria-pressed") === "true";
  const choose = (image, event) => {
    if (image.stopped) trigger("select", { id: image.id, stopped: image.job, index: image.index, to: "" });
    else if (event.shiftKey || workbench.comparing) workbench.emit("compare", image);
    else trigger("select", { id: image.id, stopped: "", index: 0, to: "" });
  };
  workbench.on("restore", ({ id, to }) => trigger("select", { id, stopped: "", index: 0, to })); // from the gallery
  const mark = () => {
    for (const button of list.querySelectorAll("button")) {
      if (button.dataset.id === shown) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
    stop(list);
  };
  const draw = (images) => {
    items = images;
    const known = new Map([...list.children].map((item) => [item.dataset.id, item]));
    const focused = document.activeElement?.dataset?.id;
    list.replaceChildren(...items.map((image) => known.get(image.id) ?? result(image, choose)));
    if (focused) list.querySelector(`button[data-id="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    none.hidden = items.length > 0;
    none.textContent = favourites() ? "Pictures that you mark with the star are listed here." : "Your pictures will be kept here.";
    for (const item of list.children) item.toggleAttribute("data-favourite", Boolean(items.find(({ id }) => id === item.dataset.id)?.favourite));
    mark();
    if (!favourites()) workbench.emit("results", items.filter(({ stopped }) => !stopped));
  };
  let asked = null;
  const refresh = () => {
    asked ??= setTimeout(async () => {
      asked = null;
      draw(await server.recent(favourites()));
    }, 50);
  };
  only.addEventListener("click", () => {
    only.setAttribute("aria-pressed", String(!favourites()));
    refresh();
  });
  workbench.on("made", refresh);
  workbench.on("kept", refresh);
  workbench.on("comparing", () => list.toggleAttribute("data-comparing", Boolean(workbench.comparing)));
  let before = null;
  studio.on("queue", ({ newest, running }) => {
    const now = `${newest} ${running.filter((job) => !isSketch(job))}`; // another job was queued, or one has ended, perhaps in another page
    if (before !== null && now !== before) refresh();
    before = now;
  });
  workbench.on("shown", ({ id, stopped }) => {
    shown = id ?? stopped;
    mark();
  });
  list.addEventListener("keydown", (event) => walk(event, list));
  list.addEventListener("focusin", () => stop(list));
  watch("value", () => draw(props.value ?? []));
  draw(props.value || []);
}

function result(image, choose) {
  const end = `seed ${image.seed}${image.stopped ? `, ${image.stopped}` : ""}`;
  const name = `${short(image.prompt) || "No prompt"}, ${end}`;
  const title = `${image.prompt || "No prompt"}, ${end}`;
  const picture = make("img", { src: address(image.picture ?? `thumbnails/${image.id}`), alt: "", loading: "lazy", decoding: "async" });
  const attributes = { type: "button", "data-id": image.id, "aria-label": name, title, tabindex: -1 };
  const button = make("button", { ...attributes, onclick: (event) => choose(image, event) }, picture);
  const mark = image.stopped ? make("span", { class: "stopped", text: "Stopped" }) : make("span", { class: "star" }, icon("favourite"));
  return make("li", { "data-id": image.id }, button, mark);
}

function short(prompt) {
  return prompt.length > NAME_LENGTH ? `${prompt.slice(0, NAME_LENGTH - 1).trimEnd()}…` : prompt;
}

/** The list is one stop of the Tab key: at the result that has the focus or is shown, else at the newest. */
function stop(list) {
  const buttons = [...list.querySelectorAll("button")];
  const here = buttons.find((each) => each === document.activeElement) ?? buttons.find((each) => each.ariaCurrent) ?? buttons[0];
  for (const button of buttons) button.tabIndex = button === here ? 0 : -1;
}

function walk(event, list) {
  const buttons = [...list.querySelectorAll("button")];
  const at = buttons.indexOf(document.activeElement);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
  if (to === undefined || at < 0) return;
  event.preventDefault();
  buttons[Math.max(0, Math.min(to, buttons.length - 1))].focus();
}
