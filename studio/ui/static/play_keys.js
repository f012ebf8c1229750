// Space and the arrows play a run back wherever the focus is not in a control that has a use for them itself.

const TEXT = "textarea, [contenteditable], input:not([type=range], [type=checkbox], [type=radio])";
const USE_SPACE = "select, input[type=checkbox], input[type=radio]";
const USE_ARROWS = "select, input[type=radio], input[type=range], .results, [role=menu]";
const PRESSED_BY_SPACE = "button, a, summary, [role=button]";

let byPointer = false; // the focus came by the mouse: then Space plays instead of pressing the button once more
document.addEventListener("pointerdown", () => (byPointer = true), true);
document.addEventListener("keydown", ({ key }) => key === "Tab" && (byPointer = false), true);

export function isTyping(target) {
  return Boolean(target.matches?.(`${TEXT}, select`));
}

/** `player` has `playable`, `toggle()` and `walk(by)`; `seen()`: whether it is the one that the keys are for. */
export function playByKeys(seen, player) {
  document.addEventListener("keydown", (event) => {
    if (!player.playable || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    if (!seen() || document.querySelector("dialog[open]")) return;
    const act = { " ": () => player.toggle(), ArrowLeft: () => player.walk(-1), ArrowRight: () => player.walk(1) }[event.key];
    if (!act || isTaken(event)) return;
    event.preventDefault();
    act();
  });
}

function isTaken({ key, target }) {
  if (!target.closest) return false;
  if (target.matches(TEXT)) return true;
  if (key !== " ") return Boolean(target.closest(USE_ARROWS));
  return target.matches(USE_SPACE) || (Boolean(target.closest(PRESSED_BY_SPACE)) && !byPointer);
}
