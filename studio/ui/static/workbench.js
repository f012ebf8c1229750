// A workbench: a form, a canvas and its results, which talk to each other through it and never to another workbench's.
// The id of its root is its name, which begins the ids of what is drawn in it and the keys of what it remembers.

const JOBS_KEPT = 500; // of a tab, over a reload: which runs are its own
const workbenches = new Map(); // root -> Workbench, in the order in which they were drawn
const page = new EventTarget();
let lastUsed = null;

class Workbench extends EventTarget {
  constructor(root) {
    super();
    this.root = root;
    this.name = root.id;
    this.fields = new Map(); // name -> { get(), set(value, how), words() }
    this.jobs = new Set(JSON.parse(sessionStorage.getItem(`unnoise-${this.id("jobs")}`) ?? "[]")); // submitted in this tab
    this.shown = null; // { id, seed } of the result on the canvas
    this.submitting = false; // a request was sent and has not been answered yet
    this.mode = null; // what it is used for; the page's tabs set it
    this.taskMode = null; // the last mode that has a task, which is the one that Generate submits
    for (const type of ["pointerdown", "focusin"]) root.addEventListener(type, () => use(this));
  }

  emit(type, detail = {}) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  on(type, listener) {
    this.addEventListener(type, (event) => listener(event.detail));
  }

  get visible() {
    return this.root.offsetParent !== null;
  }

  turn(mode, taskMode) {
    this.mode = mode;
    this.taskMode = taskMode;
    this.root.dataset.mode = mode;
    this.emit("mode", { mode });
  }

  /** An id that no other workbench of the page has. */
  id(part) {
    return `${this.name}-${part}`;
  }

  remember(key, value) {
    localStorage.setItem(`unnoise-${this.id(key)}`, value);
  }

  recall(key) {
    return localStorage.getItem(`unnoise-${this.id(key)}`);
  }

  /** A request is sent; `answered` follows, with the job if it was accepted. */
  submit() {
    this.submitting = true;
    this.emit("submitting");
  }

  answered(job = null) {
    this.submitting = false;
    if (job) this.jobs.add(job);
    if (job) sessionStorage.setItem(`unnoise-${this.id("jobs")}`, JSON.stringify([...this.jobs].slice(-JOBS_KEPT)));
    page.dispatchEvent(new CustomEvent("answered"));
  }
}

export function workbenchOf(element) {
  const root = element.closest(".workbench");
  if (!workbenches.has(root)) {
    workbenches.set(root, new Workbench(root));
    page.dispatchEvent(new CustomEvent("drawn", { detail: workbenches.get(root) }));
  }
  return workbenches.get(root);
}

/** Calls `found` for each workbench of the page, now and as they are drawn. */
export function eachWorkbench(found) {
  workbenches.forEach(found);
  page.addEventListener("drawn", ({ detail }) => found(detail));
}

/** The workbench that keys and dropped pictures are meant for: of those that can be seen, the one that was used last. */
export function currentWorkbench() {
  if (lastUsed?.visible) return lastUsed;
  return [...workbenches.values()].find((workbench) => workbench.visible) ?? null;
}

/** "used": another workbench came into use; "answered": a request of some workbench was answered. */
export function onPage(type, listener) {
  page.addEventListener(type, () => listener());
}

/** Whether this job was, or may turn out to be, submitted in another workbench of this page. */
export function isAnothers(workbench, job) {
  return [...workbenches.values()].some((other) => other !== workbench && (other.submitting || other.jobs.has(job)));
}

/** Whether this job was submitted in this tab. */
export function isOwn(job) {
  return [...workbenches.values()].some(({ jobs }) => jobs.has(job));
}

function use(workbench) {
  if (lastUsed === workbench) return;
  lastUsed = workbench;
  page.dispatchEvent(new CustomEvent("used"));
}

/** Calls `found` for each element of the workbench that matches, now and when Gradio draws it. */
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

/** A path of the studio as an address, also where a proxy has put the studio below a path of its own. */
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
