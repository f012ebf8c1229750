// The same picture at several weights, side by side beneath the canvas. Each is a job of its own, followed until it is done.

import { Feed } from "./feed.js";
import { icon } from "./icons.js";
import { address, make, workbenchOf } from "./workbench.js";

export function mount({ element, props, trigger, watch }) {
  const workbench = workbenchOf(element);
  const body = element.querySelector(".weights-body");
  let feeds = [];

  const close = () => {
    feeds.forEach((feed) => feed.close());
    feeds = [];
    body.replaceChildren();
  };
  const draw = () => {
    const { title, pictures = [] } = props.value ?? {};
    close();
    if (!pictures.length) return;
    const list = make("ol", { class: "weights", "aria-label": `Weights of ${title}` });
    for (const { job, weight } of pictures) list.append(figure(job, weight));
    const shut = make("button", { type: "button", class: "tool", "aria-label": "Close the weights", title: "Close", onclick: close }, icon("remove"));
    body.append(make("div", { class: "weights-head" }, make("h2", { class: "strip-title", text: `Weights of ${title}` }), shut), list);
  };
  const figure = (job, weight) => {
    const place = make("span", { class: "weights-picture" }, make("span", { text: "Waiting" }));
    const button = make("button", { type: "button", "aria-label": `Weight ${weight}`, disabled: true }, place);
    const feed = new Feed(job, () => show(feed, place, button));
    button.addEventListener("click", (event) => {
      const image = feed.images.get(0);
      if (event.shiftKey || workbench.comparing) workbench.emit("compare", image);
      else trigger("select", { id: image.id, stopped: "", index: 0, to: "" });
    });
    feeds.push(feed);
    feed.open();
    return make("li", {}, button, make("span", { class: "weights-number", text: weight }));
  };
  const show = (feed, place, button) => {
    const image = feed.images.get(0);
    if (image && place.dataset.id !== image.id) {
      place.dataset.id = image.id;
      place.replaceChildren(make("img", { src: address(`images/${image.id}`), alt: "", width: image.width, height: image.height }));
      button.disabled = false;
      workbench.emit("made", {});
    }
    if (image) return;
    const step = feed.latest ? `${feed.latest.index + 1} of ${feed.total}` : "Waiting";
    place.replaceChildren(make("span", { text: feed.message ?? (feed.state === "cancelled" ? "Stopped" : step) }));
  };
  watch("value", draw);
  draw();
}
