// The painter by keys: every tool has a letter, and on the surface the arrows move a cross with which Enter draws as a pointer
// would: press, move, press again.

import { isTyping } from "./play_keys.js";
import { TOOLS } from "./painter_tools.js";

const FAR = 10; // with Shift, of the steps of an arrow
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const LETTERS = Object.fromEntries(Object.entries(TOOLS).map(([name, { key }]) => [key, name]));
const STEP = 1.25;

/** For the list that people see. */
export const KEYS = [
  ...Object.values(TOOLS).map(({ key, title }) => [[key.toUpperCase()], title]),
  [["[", "]"], "Smaller or larger brush"],
  [["A"], "Fill everything"],
  [["I"], "Invert the mask"],
  [["Delete"], "Clear"],
  [["Ctrl", "Z"], "Undo"],
  [["Ctrl", "Shift", "Z"], "Redo"],
  [["Space", "drag"], "Move the picture"],
  [["Alt"], "Erase instead of painting, while held"],
  [["←", "Enter"], "Move a cross and draw with it"],
  [["Esc"], "Cancel the shape, or close the painter"],
];

export function wireKeys(painter) {
  document.addEventListener("keydown", (event) => painter.listens && press(painter, event), true);
  document.addEventListener("keyup", ({ key }) => key === " " && painter.holdSpace(false));
  addEventListener("blur", () => painter.holdSpace(false));
}

function press(painter, event) {
  if (document.querySelector("dialog[open]") || isTyping(event.target)) return;
  const act = event.ctrlKey || event.metaKey ? withControl(painter, event) : plain(painter, event);
  if (!act) return;
  event.preventDefault();
  event.stopPropagation();
  act();
}

function withControl(painter, { key, shiftKey }) {
  const letter = key.toLowerCase();
  if (letter === "z") return () => painter.step(shiftKey ? 1 : -1);
  if (letter === "y") return () => painter.step(1);
  return null;
}

function plain(painter, event) {
  const { key, target } = event;
  const { view } = painter;
  const onSurface = target === view.root || target === document.body;
  const own = target.closest?.("button, a, select, input, [role=radio]");
  if (key === "Escape") return () => (painter.tool.isBusy ? painter.cancel() : painter.close());
  if (key in ARROWS && onSurface) return () => cross(painter, ARROWS[key], event.shiftKey);
  if (key === "Enter" && onSurface) return () => pen(painter, event.altKey);
  if (key === " " && !own) return () => painter.holdSpace(true);
  const letter = key.toLowerCase();
  if (letter in LETTERS && painter.offers(LETTERS[letter])) return () => painter.take(LETTERS[letter]);
  return (
    {
      "[": () => painter.resizeBrush(-1),
      "]": () => painter.resizeBrush(1),
      a: () => painter.fillAll(),
      i: () => painter.invert(),
      delete: () => painter.clear(),
      f: () => painter.toggleFullScreen(),
      0: () => view.fitAll(),
      1: () => view.zoom(1 / devicePixelRatio),
      "+": () => view.zoom(view.scale * STEP),
      "=": () => view.zoom(view.scale * STEP),
      "-": () => view.zoom(view.scale / STEP),
    }[letter] ?? null
  );
}

/** The cross moves by a few pixels of the screen, but at least by one of the picture. */
function cross(painter, [dx, dy], far) {
  const { view, tiles } = painter;
  const step = Math.max(1, Math.round(4 / view.scale)) * (far ? FAR : 1);
  const from = painter.cross ?? { x: Math.round(tiles.width / 2), y: Math.round(tiles.height / 2) };
  const to = { x: Math.min(tiles.width, Math.max(0, from.x + dx * step)), y: Math.min(tiles.height, Math.max(0, from.y + dy * step)) };
  painter.cross = to;
  view.hovered(to, painter.reach, true);
  if (painter.pressed || painter.tool.isBusy) painter.tool.move({ ...to, pressure: 1 });
  painter.say(`${to.x}, ${to.y}`);
}

function pen(painter, erase) {
  const at = { ...(painter.cross ?? { x: painter.tiles.width / 2, y: painter.tiles.height / 2 }), pressure: 1 };
  if (painter.isLoading) return;
  if (!painter.cross) cross(painter, [0, 0], false);
  painter.pressed = !painter.pressed;
  if (painter.pressed) painter.tool.down(at, painter.erasing !== erase);
  else painter.tool.up();
  if (!painter.tool.isBusy || painter.tool.corners) painter.pressed = false; // it is drawn at once, or corner by corner
}
