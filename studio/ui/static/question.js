// A question that must be answered before something is done that cannot be undone.

import { make } from "./workbench.js";

/** True if the person agrees; `yes` is what the button says. */
export function question(sentence, yes) {
  const cancel = make("button", { type: "button", class: "browser-button", text: "Cancel", onclick: () => dialog.close() });
  const agree = make("button", { type: "button", class: "browser-button is-alarm", text: yes, onclick: () => dialog.close("yes") });
  const dialog = make("dialog", { class: "question", "aria-label": sentence }, make("p", { text: sentence }), make("footer", {}, cancel, agree));
  document.querySelector(".gradio-container").append(dialog);
  dialog.showModal();
  cancel.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
  });
}
