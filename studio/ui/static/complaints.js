// A sentence at a control that says what is wrong with its value.

import { make } from "./workbench.js";

/** `field` is the element of that class around a control; the sentence is named as the reason for screen readers. */
export function complain(field, id, sentence) {
  const holder = outer(field);
  const control = holder.querySelector("textarea, input, select");
  if (!control) return;
  clearComplaint(holder);
  const note = make("p", { class: "field-error", id, text: sentence });
  control.setAttribute("aria-invalid", "true");
  control.setAttribute("aria-errormessage", note.id);
  control.dataset.describedby = control.getAttribute("aria-describedby") ?? "";
  control.setAttribute("aria-describedby", note.id);
  holder.append(note);
}

export function clearComplaint(field) {
  const holder = outer(field);
  for (const note of holder.querySelectorAll(":scope > .field-error")) note.remove();
  const control = holder.querySelector("[aria-invalid]");
  if (!control) return;
  control.removeAttribute("aria-invalid");
  control.removeAttribute("aria-errormessage");
  if (control.dataset.describedby) control.setAttribute("aria-describedby", control.dataset.describedby);
  else control.removeAttribute("aria-describedby");
}

/** Gradio puts the classes of a component on two elements, one inside the other. */
function outer(field) {
  return field.parentElement.closest(".field") ?? field;
}
