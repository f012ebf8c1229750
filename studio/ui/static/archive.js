// What the studio can do with one archived picture. Each answers, or rejects with a sentence for people.

import { address } from "./workbench.js";

export const archive = {
  delete: (id) => ask("DELETE", `images/${id}`), // browsers drop the picture from their cache with it
  restore: (id) => ask("POST", `images/${id}/restore`),
  favour: (id, favourite) => ask(favourite ? "PUT" : "DELETE", `images/${id}/favourite`),
  recipe: (id) => ask("GET", `images/${id}/recipe`),
  reveal: (id) => ask("POST", `images/${id}/reveal`),
};

async function ask(method, path) {
  const answer = await fetch(address(path), { method }).catch(() => null);
  if (!answer) throw new Error("The studio could not be reached.");
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.error ?? "The studio did not answer.");
  return said;
}
