// The button that takes a picture for the settings in it. The file goes to the studio, and the settings that it answers to the
// form; so do settings that another tab has found.

import { address, make, workbenchOf } from "./workbench.js";

const TYPES = "image/png,image/jpeg,image/webp";

export function mount({ element, trigger }) {
  const workbench = workbenchOf(element);
  const input = make("input", { type: "file", accept: TYPES, hidden: true });
  const button = make("button", { type: "button", text: "Settings from a picture", onclick: () => input.click() });
  element.querySelector(".from-picture").append(input, button);
  workbench.on("settings", (values) => trigger("select", { settings: JSON.stringify(values) })); // from another tab
  input.addEventListener("change", async () => {
    const [file] = input.files;
    if (!file) return;
    try {
      trigger("select", { settings: await settingsOf(file) });
    } catch (error) {
      workbench.emit("notice", { sentence: error.message });
    }
    input.value = "";
  });
}

/** The settings in a picture, as text; or an error with the sentence for people. */
async function settingsOf(file) {
  const answer = await fetch(address("settings"), { method: "POST", body: file }).catch(() => null);
  if (!answer) throw new Error("The studio could not be reached. Choose the picture again.");
  const text = await answer.text().catch(() => "");
  if (!answer.ok) throw new Error(sentence(text) ?? "The studio did not take this picture.");
  return text;
}

function sentence(text) {
  try {
    return JSON.parse(text).error;
  } catch {
    return text.trim() || null; // the guard's own answers are plain text
  }
}
