// The keyboard: what works anywhere on the page, and the sheet that lists all of it.

import { KEYS } from "./painter_keys.js";
import { isTyping } from "./play_keys.js";
import { currentWorkbench, eachWorkbench, make, whenDrawn } from "./workbench.js";

const CONTROL = /Mac|iP/.test(navigator.platform) ? "⌘" : "Ctrl";
const LISTED = [
  ["Anywhere", [[[CONTROL, "Enter"], "Generate"], [[CONTROL, "Alt", "Enter"], "Stop the run"], [["?"], "Show this list"]]],
  ["Outside a text field", [[["Space"], "Play the run, or pause"], [["←"], "One step back"], [["→"], "One step on"]]],
  ["At the slider of steps", [[["Home"], "First step"], [["End"], "Last step"]]],
  ["At the picture", [[["+"], "Larger"], [["−"], "Smaller"], [["0"], "Fit it"], [["1"], "Its own pixels"], [["F"], "Full screen"], [["G"], "All images of the run"], [["C"], "Compare with another picture"], [["R"], "Recipe"], [["S"], "Favourite"], [["Delete"], "Move to the trash"]]],
  ["In the painter", KEYS],
  ["In the gallery", [[["←", "↑", "→", "↓"], "Another picture"], [["Space"], "Choose it too, or no longer"], [["Shift", "→"], "Choose all up to there"], [[CONTROL, "A"], "Choose all"], [["Enter"], "Show it in large"], [["S"], "Favourite"], [["Delete"], "Move to the trash"]]],
  ["At the recent pictures", [[["←"], "The one before"], [["→"], "The one after"], [["Home"], "The newest"], [["Enter"], "Show it and restore its settings"], [["Shift", "click"], "Compare it with the picture shown"]]],
];

/** The button that shows the list; the keys work from now on. */
export function shortcuts() {
  const sheet = dialog();
  const button = make("button", { type: "button", class: "bar-help", "aria-label": "Keyboard shortcuts", title: "Keyboard shortcuts", text: "?", onclick: () => sheet.showModal() });
  eachWorkbench((workbench) => whenDrawn(workbench, ".generate", showKeys));
  document.addEventListener("keydown", (event) => {
    if (event.key === "?" && !isTyping(event.target) && !document.querySelector("dialog[open]")) sheet.showModal();
    else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) press(event.altKey ? ".stop" : ".generate");
    else return;
    event.preventDefault();
  });
  return [button, sheet];
}

/** The keys are written on the button itself; they are no part of its name. */
function showKeys(button) {
  button.setAttribute("aria-keyshortcuts", CONTROL === "⌘" ? "Meta+Enter" : "Control+Enter");
  button.append(make("span", { class: "button-keys", "aria-hidden": "true" }, make("kbd", { text: CONTROL }), make("kbd", { text: "Enter" })));
}

function press(button) {
  if (!document.querySelector("dialog[open]")) currentWorkbench()?.root.querySelector(button)?.click();
}

function dialog() {
  const close = make("button", { type: "button", class: "browser-button", text: "Close", onclick: () => sheet.close() });
  const heading = make("h2", { id: "shortcuts-title", text: "Keyboard shortcuts" });
  const sheet = make("dialog", { class: "shortcuts", "aria-labelledby": heading.id }, make("header", {}, heading, close), ...LISTED.map(part));
  sheet.addEventListener("click", ({ target }) => target === sheet && sheet.close());
  return sheet;
}

function part([title, rows]) {
  const list = rows.map(([keys, words]) => make("div", {}, make("dt", {}, ...keys.map((key) => make("kbd", { text: key }))), make("dd", { text: words })));
  return make("section", {}, make("h3", { text: title }), make("dl", {}, ...list));
}
