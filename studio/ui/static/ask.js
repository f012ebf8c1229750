// Asks one of the studio's routes.

import { address } from "./workbench.js";

/** The answer of a route, to which plain values or a file may be sent; what went wrong is an error with a sentence for people, and the field at fault. */
export async function ask(path, content = null) {
  const how = content === null ? {} : content instanceof Blob ? { method: "POST", headers: { "content-type": "application/octet-stream" }, body: content } : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(content) };
  const answer = await fetch(address(path), how).catch(() => null);
  if (!answer) throw new Error("The studio could not be reached.");
  const values = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(values.error ?? "The studio did not do that."), { field: values.field });
  return values;
}
