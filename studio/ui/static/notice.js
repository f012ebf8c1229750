// One line that says what has just happened to the form, with the way back. It clears itself when the form is submitted.

import { make, workbenchOf } from "./workbench.js";

export function mount({ element, props, watch }) {
  const workbench = workbenchOf(element);
  const line = make("span");
  const body = element.querySelector(".notice-body");
  const way = (text) => make("button", { type: "button", class: "notice-step", text, hidden: true });
  const [undo, redo] = [way("Undo"), way("Redo")];
  body.append(line, undo, redo);

  const say = (sentence) => (line.textContent = sentence);
  const sync = () => {
    say(props.value?.sentence ?? "");
    workbench.emit("notice-shown", { undo: Boolean(props.value?.undo) });
  };
  watch("value", sync);
  workbench.on("submitting", () => {
    say("");
    undo.hidden = redo.hidden = true;
  });
  workbench.on("notice", ({ sentence }) => say(sentence));
  workbench.on("steps", (steps) => {
    for (const [button, step] of [[undo, steps.undo], [redo, steps.redo]]) {
      button.hidden = !step;
      button.onclick = step;
    }
  });
  sync();
}
