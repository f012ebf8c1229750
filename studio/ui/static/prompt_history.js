// The prompts that were submitted here, newest first, to take one up again.

import { icon } from "./icons.js";
import { make } from "./workbench.js";

const KEPT = 50;

/** A button in the corner of the prompt, and the list that it opens. */
export function promptHistory(workbench, area) {
  const list = make("ul", { class: "history-list", role: "list" });
  const panel = make("div", { class: "history", popover: "auto", id: workbench.id("history"), "aria-label": "Earlier prompts" }, list);
  const label = { "aria-label": "Earlier prompts", title: "Earlier prompts", "aria-haspopup": "true" };
  const button = make("button", { type: "button", class: "history-button", popovertarget: panel.id, ...label }, icon("history"));

  const read = () => {
    try {
      return JSON.parse(workbench.recall("prompts")) ?? [];
    } catch {
      return [];
    }
  };
  const take = (text) => {
    workbench.emit("notice-shown", { undo: true }); // what stood here can be had back
    area.value = text;
    area.dispatchEvent(new Event("input", { bubbles: true }));
    panel.hidePopover();
    area.focus();
  };
  const draw = () => {
    const prompts = read();
    const rows = prompts.map((text) => make("li", {}, make("button", { type: "button", text, onclick: () => take(text) })));
    list.replaceChildren(...rows);
    if (!prompts.length) list.append(make("li", { class: "history-none", text: "Prompts that you generate from are kept here." }));
  };
  panel.addEventListener("beforetoggle", ({ newState }) => {
    if (newState !== "open") return;
    draw();
    const box = button.getBoundingClientRect();
    panel.style.top = `${box.bottom + 4}px`;
    panel.style.left = `${Math.max(8, Math.min(box.right - 360, innerWidth - 368))}px`;
  });
  panel.addEventListener("toggle", ({ newState }) => newState === "open" && list.querySelector("button")?.focus());
  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const buttons = [...list.querySelectorAll("button")];
    buttons[buttons.indexOf(document.activeElement) + step]?.focus();
    event.preventDefault();
  });
  workbench.on("submitting", () => {
    const text = area.value.trim();
    if (!text || area.disabled || workbench.fields.get("live")?.get()) return; // Live submits words half typed
    workbench.remember("prompts", JSON.stringify([text, ...read().filter((each) => each !== text)].slice(0, KEPT)));
  });
  return [button, panel];
}
