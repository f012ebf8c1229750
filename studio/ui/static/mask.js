// The control that holds a mask: painted over the picture that it belongs to, or taken from a file, in which white is repainted.

import { picture } from "./picture.js";
import { address, make } from "./workbench.js";

const WIDE = matchMedia("(min-width: 820px)"); // on a phone the painter fills the screen, so it opens only when asked to

export function mask(options) {
  const { props, body, workbench, card = null } = options;
  const control = picture(options);
  const zone = body.querySelector(".picture-zone");
  const file = body.querySelector("input[type=file]");
  const paint = make("button", { type: "button", class: "mask-paint", onclick: () => workbench.emit("paint", task()) });
  body.querySelector(".picture-control").before(paint);
  const source = () => (card ? card.get(props.over) : workbench.fields.get(props.over)?.get()) || "";
  const task = () => ({
    kind: "mask",
    field: props.field,
    over: props.over,
    title: `Paint: ${props.label}`,
    picture: source(),
    value: props.value || "",
    set: control.set,
    choose: () => file.click(),
    box: workbench.fields.has(props.box) ? { get: () => workbench.fields.get(props.box).get(), set: setBox } : null,
  });
  /** A box that is drawn is meant to be used. */
  const setBox = (text) => {
    const field = workbench.fields.get(props.box);
    const [leader, value] = field.only;
    workbench.fields.get(leader).set(value, "choice");
    field.set(text, "choice");
  };
  workbench.on("draw-box", ({ field }) => field === props.box && source() && workbench.emit("paint", { ...task(), tool: "box" }));
  const sync = () => {
    control.sync();
    const hash = source();
    paint.hidden = !props.over;
    paint.disabled = !hash;
    paint.textContent = !hash ? "Choose a picture to paint on" : props.value ? "Go on painting the mask" : "Paint the mask";
    zone.toggleAttribute("data-over", Boolean(hash && props.value));
    zone.style.setProperty("--under", hash ? `url("${address(`inputs/${hash}`)}")` : "none");
  };
  workbench.on("field", ({ name }) => [props.over, props.field, card && "parts"].includes(name) && sync());
  workbench.on("edit", ({ name, how }) => {
    if (name === props.over && how === "choice" && source() && !props.value && WIDE.matches && paint.offsetParent) paint.click();
  });
  return { ...control, sync };
}
