// The bar on top: the tabs, the model in use, memory against its budget, and the queue.

import { currentWorkbench, eachWorkbench, make, onPage } from "./workbench.js";
import { navigation } from "./navigation.js";
import { queue } from "./queue.js";
import { shortcuts } from "./shortcuts.js";
import { studio } from "./studio.js";
import { tabs } from "./tabs.js";
import { deviceTitle, size } from "./units.js";

export function mount({ element, props }) {
  tabs.start(props.tabs);
  const heading = make("h1", { class: "only-read", tabindex: -1 });
  const model = make("span", { class: "bar-model" });
  const meter = make("div", { class: "meter", role: "meter", "aria-label": "Memory", "aria-valuemin": 0 }, make("div"));
  const memory = make("span", { class: "bar-memory" });
  element.querySelector(".bar-body").append(
    make("button", { type: "button", class: "bar-skip", text: "Skip the tabs", onclick: () => heading.focus() }),
    make("span", { class: "bar-name" }, mark(), make("span", { text: "Unnoise" })),
    navigation(props.groups, props.tabs),
    make("span", { class: "bar-state" }, model, make("span", { class: "bar-figures" }, meter, memory), queue.button, queue.drawer),
    ...shortcuts(),
    heading,
  );
  tabs.on(({ title }) => (heading.textContent = title));

  const showMemory = ({ used, budget, device, residents }) => {
    meter.parentElement.hidden = !budget;
    meter.setAttribute("aria-valuemax", budget);
    meter.setAttribute("aria-valuenow", used);
    meter.setAttribute("aria-valuetext", `${size(used)} of ${size(budget)}`);
    meter.firstChild.style.transform = `scaleX(${budget ? Math.min(1, used / budget) : 0})`;
    meter.classList.toggle("full", used > 0.9 * budget);
    memory.textContent = `${size(used)} of ${size(budget)}`;
    meter.parentElement.title = [`Memory of models on ${deviceTitle(device)}`, ...residents.map(([name, bytes]) => `${name}: ${size(bytes)}`)].join("\n");
  };
  studio.on("memory", showMemory);

  const showModel = () => {
    const menu = currentWorkbench()?.fields.get("model");
    model.textContent = menu ? menu.words() : "";
  };
  eachWorkbench((workbench) => workbench.on("field", ({ name }) => name === "model" && showModel()));
  onPage("used", showModel);
}

/** A picture that comes out of dots. */
function mark() {
  const holder = document.createElement("span");
  holder.className = "bar-mark";
  holder.setAttribute("aria-hidden", "true");
  holder.innerHTML =
    '<svg viewBox="0 0 22 22" width="22" height="22" fill="currentColor"><g><circle cx="2.6" cy="6" r=".9" opacity=".45"/><circle cx="1.9" cy="11.4" r="1.1" opacity=".55"/><circle cx="3.4" cy="16.6" r=".8" opacity=".4"/><circle cx="6.4" cy="3.6" r="1" opacity=".55"/><circle cx="6.3" cy="9" r="1.3" opacity=".7"/><circle cx="6.8" cy="14" r="1.2" opacity=".7"/><circle cx="7.6" cy="19" r=".9" opacity=".5"/></g><circle cx="14.6" cy="11" r="5.6"/></svg>';
  return holder;
}
