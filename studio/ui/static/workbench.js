// A workbench is one tab's form, canvas and results. Its parts talk through it, never to another tab's.

const workbenches = new WeakMap();

class Workbench extends EventTarget {
  constructor(root) {
    super();
    this.root = root;
    this.fields = new Map(); // name -> { get(), set(value, { quiet }) }
  }

  say(type, detail = {}) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  hear(type, listener) {
    this.addEventListener(type, (event) => listener(event.detail));
  }

  visible() {
    return this.root.offsetParent !== null || this.root === document.body;
  }
}

export function workbenchOf(element) {
  const root = element.closest(".workbench") ?? document.body;
  if (!workbenches.has(root)) workbenches.set(root, new Workbench(root));
  return workbenches.get(root);
}

/** Calls `found` for each element of the workbench that matches, now or when Gradio gets round to drawing it. */
export function whenDrawn(workbench, selector, found) {
  const seen = new WeakSet();
  const look = () => {
    for (const element of workbench.root.querySelectorAll(selector)) {
      if (seen.has(element)) continue;
      seen.add(element);
      found(element);
    }
  };
  new MutationObserver(look).observe(workbench.root, { childList: true, subtree: true });
  look();
}

/** An address of the studio's, wherever a proxy may have put it. */
export function address(path) {
  return new URL(path, document.baseURI).href;
}

/** make("p", { class: "help", text: "..." }, child, ...): text is always set as text. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}
