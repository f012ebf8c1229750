// What is said of a size that is far from the model's own.

import { workbenchOf } from "./workbench.js";

const ASK_MS = 150;
const FOLLOWED = ["model", "width", "height"];

export function mount({ element, server }) {
  const workbench = workbenchOf(element);
  const note = element.querySelector(".field-note");
  let timer = null;
  let asked = 0;
  const ask = async () => {
    timer = null;
    const number = ++asked;
    const given = Object.fromEntries(FOLLOWED.map((name) => [name, workbench.fields.get(name)?.get() ?? ""]));
    const said = await server.advise(given).catch(() => "");
    if (number === asked) note.textContent = said ?? "";
  };
  const soon = () => {
    timer ??= setTimeout(ask, ASK_MS);
  };
  workbench.on("field", ({ name }) => FOLLOWED.includes(name) && soon());
  soon();
}
