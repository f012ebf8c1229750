// The head of a group of controls: opens and closes it, and says what is set in it while it is closed.

import { make, workbenchOf } from "./workbench.js";

export function mount({ element, props }) {
  const workbench = workbenchOf(element);
  const fold = element.closest(".fold");
  const key = `fold-${props.name}`;
  const summary = make("span", { class: "fold-summary" });
  const button = make("button", { type: "button", class: "fold-button" }, make("span", { text: props.title }), summary);
  element.querySelector(".fold-head").append(make("h2", {}, button));

  let open = (workbench.recall(key) ?? (props.opened ? "open" : "closed")) === "open";
  const show = () => {
    fold.toggleAttribute("data-folded", !open);
    button.setAttribute("aria-expanded", String(open));
    describe();
  };
  const describe = () => {
    const pieces = open ? [] : props.summary.map((piece) => filled(piece, workbench.fields));
    summary.textContent = pieces.filter(Boolean).join(", ");
  };
  button.addEventListener("click", () => {
    open = !open;
    workbench.remember(key, open ? "open" : "closed");
    show();
  });
  workbench.on("field", () => open || describe());
  workbench.on("reveal", ({ element: hidden }) => {
    if (!fold.contains(hidden)) return;
    open = true;
    show();
  });
  show();
}

/** "{steps} step(s)" with the words of the control; empty if one of its controls has none. */
function filled(piece, fields) {
  let missing = false;
  const text = piece.replace(/\{([\w.]+)\}/g, (_, name) => {
    const words = fields.get(name)?.words() ?? "";
    missing ||= words === "";
    return words;
  });
  return missing ? "" : text.replaceAll("(s)", /^1 /.test(text) ? "" : "s");
}
