// A few-step student beside its teacher: the curved paths of the one and the straight, or few, steps of the other, from the same noise.

import { ask } from "./ask.js";
import { Learned, normal, stream } from "./lab_model.js";
import { Plane } from "./lab_plane.js";
import { distance, SOLVERS } from "./lab_solvers.js";
import { make } from "./workbench.js";

const STARTS = 24; // paths that are drawn
const POINTS = 160; // that are measured
const FINE = 24; // Heun steps of the teacher
const SAYS = "Reflow trains on pairs of noise and the teacher’s end, min E‖(ε − x_0) − v(x_t, t)‖², until the paths are straight (Liu et al. 2023). A consistency model is trained so that f(x_t, t) is the same x_0 all along a path (Song et al. 2023).";
const METHODS = { reflow: "Reflow (straight paths)", consistency: "Consistency (one jump)" };

/** The teacher in a student's file, as a model of its own. */
export function teacherOf({ settings, tensors }) {
  const own = Object.entries(tensors).filter(([name]) => !name.startsWith("mlp.") && !name.startsWith("teacher."));
  const taught = Object.entries(tensors).filter(([name]) => name.startsWith("teacher.")).map(([name, tensor]) => [name.replace("teacher.", "mlp."), tensor]);
  return taught.length ? { settings, tensors: Object.fromEntries([...own, ...taught]) } : null;
}

/** A consistency function's samples in n jumps (Song et al. 2023, algorithm 1): to the data, and back to a lower noise level. */
export function jumps(learned, schedule, x, n, random) {
  const path = [x];
  for (let k = 0; k < n; k += 1) {
    const here = schedule.at(schedule.straight ? 1000 * (1 - k / n) : Math.round(1000 * (1 - k / n)) - 1);
    const skip = schedule.straight ? 0 : 0.25 / ((10 * here.t) ** 2 + 0.25); // diffusers' LCMScheduler
    const out = schedule.straight ? 1 : (10 * here.t) / Math.hypot(10 * here.t, 0.5);
    const from = x;
    const { x0 } = learned.predict(x, here);
    x = x0.map((value, i) => skip * from[i] + out * value);
    path.push(x);
    if (k === n - 1) break;
    const next = schedule.at(schedule.straight ? 1000 * (1 - (k + 1) / n) : Math.round(1000 * (1 - (k + 1) / n)) - 1);
    const z = normal(x.length, random);
    x = x.map((value, i) => next.alpha * value + next.sigma * z[i]);
    path.push(x);
  }
  return path;
}

/** How much longer the paths are than the straight line between their ends; 1 is straight. */
export function detour(path) {
  let [length, chord] = [0, 0];
  for (let k = 1; k < path.length; k += 1) length += distance(path[k - 1], path[k]);
  chord = distance(path[0], path.at(-1));
  return length / chord;
}

export class Compare {
  /** `chosen()`: the run in view; `refresh()`: a run was started; `complain(sentence)`. */
  constructor({ chosen, started, complain }) {
    Object.assign(this, { chosen, started, complain, steps: 1 });
    this.plane = new Plane("Teacher and student", "Paths of a teacher and of its few-step student from the same noise");
    this.count = make("input", { type: "number", min: 1, max: 16, value: 1, "aria-label": "Student’s evaluations", oninput: () => {
      this.steps = Math.max(1, Math.min(16, Math.round(Number(this.count.value)) || 1));
      this.draw();
    } });
    this.method = make("select", { "aria-label": "Method" }, ...Object.entries(METHODS).map(([value, text]) => make("option", { value, text })));
    this.start = make("button", { type: "button", class: "browser-button", text: "Train a student", onclick: () => this.train() });
    this.errors = make("table", { class: "lab-errors" });
    this.teach = make("div", { class: "lab-row" }, this.method, this.start);
    this.counted = make("label", { class: "lab-choice" }, make("span", { text: "Student’s evaluations" }), this.count);
    this.legend = make("p", { class: "lab-legend" }, make("i", { class: "is-learned" }), "teacher", make("i", { class: "is-euler" }), "student");
    this.plane.root.append(this.legend, this.counted, this.errors, this.teach, make("p", { class: "lab-note", text: SAYS }));
  }

  async train() {
    this.start.disabled = true;
    try {
      const { id } = await ask("runs", { recipe: `twod-eight-gaussians-${this.method.value}`, changes: { name: `twod-${this.method.value}`, title: `A student by ${this.method.value}`, "task.teacher": this.chosen() } });
      this.complain("");
      this.started(id);
    } catch (error) {
      this.complain(error.message);
    }
    this.start.disabled = false;
  }

  use(lab) {
    const { model } = lab;
    const teacher = teacherOf(model);
    Object.assign(this, { lab, teacher: teacher && new Learned(teacher), student: teacher && new Learned(model) });
    this.teach.hidden = Boolean(teacher) || lab.chosen === "none";
    for (const each of [this.plane.canvas, this.legend, this.counted, this.errors]) each.hidden = !teacher;
    if (!teacher) this.plane.note.textContent = "Train a few-step student of the model in view, and see its paths over the teacher’s.";
    else if (this.of !== model) this.measure(lab.schedule, model);
    this.draw();
  }

  /** What does not depend on the number of evaluations, once a model. */
  measure(schedule, model) {
    this.of = model;
    this.noise = normal(2 * POINTS, stream(17));
    const begin = this.noise.subarray(0, 2 * STARTS);
    this.taught = SOLVERS.heun.path(this.teacher, schedule, begin, FINE);
    this.fine = SOLVERS.heun.path(this.teacher, schedule, this.noise, FINE).at(-1);
    this.consistency = model.settings.sampler === "consistency";
    this.detours = { teacher: detour(this.taught), student: this.consistency ? null : detour(SOLVERS.heun.path(this.student, schedule, begin, FINE)) };
  }

  draw() {
    const { plane, lab, teacher, student, steps } = this;
    if (!lab || !teacher || !plane.begin()) return;
    const { schedule, mixture } = lab;
    plane.dots(lab.data, plane.colour("--ink-3"), 1.1, 0.45);
    const learned = this.path(student, schedule, this.noise, steps);
    this.lines(this.taught, plane.colour("--accent"), 1.2);
    this.lines(learned, plane.colour("--lab-euler"), 1.4);
    plane.dots(learned.at(-1).subarray(0, 2 * STARTS), plane.colour("--lab-euler"), 2.2, 1);
    const ends = { "Teacher, fine": this.fine, [`Teacher, ${steps}`]: SOLVERS.euler.path(teacher, schedule, this.noise, steps).at(-1), [`Student, ${steps}`]: learned.at(-1) };
    this.off = Object.fromEntries(Object.entries(ends).map(([name, points]) => [name, offMode(points, mixture)]));
    this.show(ends);
    const straight = this.consistency ? "; the student jumps" : `, the student’s ${this.detours.student.toFixed(3)} times`;
    plane.note.textContent = `The teacher’s paths are ${this.detours.teacher.toFixed(3)} times as long as straight lines${straight}.`;
  }

  path(learned, schedule, x, n) {
    return this.consistency ? jumps(learned, schedule, x, n, stream(5)) : SOLVERS.euler.path(learned, schedule, x, n);
  }

  lines(path, colour, width) {
    for (let k = 0; k < 2 * STARTS; k += 2) this.plane.line(path.map((points) => [points[k], points[k + 1]]), colour, width);
  }

  show(ends) {
    const row = (...cells) => make("tr", {}, ...cells.map((text, at) => make(at ? "td" : "th", at ? { text } : { scope: "row", text })));
    const drawnAnew = this.consistency && this.steps > 1; // its noise is its own, so it ends elsewhere
    const away = (name, points) => (points === this.fine || (drawnAnew && name.startsWith("Student")) ? "" : distance(points, this.fine).toFixed(3));
    this.errors.replaceChildren(make("tr", {}, ...["Evaluations", "Off every mode", "From the teacher’s end"].map((text) => make("th", { text }))),
      ...Object.entries(ends).map(([name, points]) => row(name, `${(100 * this.off[name]).toFixed(1)} %`, away(name, points))));
  }
}

function offMode(points, { all, std }) {
  let far = 0;
  for (let k = 0; k < points.length; k += 2) {
    let least = Infinity;
    for (let c = 0; c < all.length; c += 2) least = Math.min(least, Math.hypot(points[k] - all[c], points[k + 1] - all[c + 1]));
    far += least > 4 * std ? 1 : 0;
  }
  return (2 * far) / points.length;
}
