// Mouse, pen and fingers on the painter: one draws with the tool, two fingers or a held Space move the picture, the wheel
// changes the scale, or with Shift or Alt the size of the brush.

const WHEEL = 0.002;

export function wirePointer(painter) {
  const { view } = painter;
  const surface = view.root;
  const pointers = new Map(); // id -> its last event
  let drawing = null; // id of the pointer that draws
  let panning = null;

  const sample = (event) => ({ ...view.point(event), pressure: event.pointerType === "pen" && event.pressure ? event.pressure : 1 });
  const forget = (event) => {
    pointers.delete(event.pointerId);
    if (panning === event.pointerId) panning = null;
    surface.toggleAttribute("data-panning", panning !== null);
  };

  surface.addEventListener("pointerdown", (event) => {
    surface.focus({ preventScroll: true });
    surface.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, event);
    if (pointers.size === 2) {
      if (drawing !== null) painter.tool.cancel(); // it was the first finger of two
      drawing = null;
    } else if (event.button === 1 || painter.holdsSpace) panning = event.pointerId;
    else if (event.button === 0 && pointers.size === 1 && !painter.isLoading) {
      drawing = event.pointerId;
      painter.tool.down(sample(event), painter.erasing !== event.altKey);
    }
    surface.toggleAttribute("data-panning", panning !== null);
    event.preventDefault();
  });

  surface.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (before) pointers.set(event.pointerId, event);
    if (pointers.size === 2 && before) return pinch(before, event);
    if (panning === event.pointerId) return view.pan(event.clientX - before.clientX, event.clientY - before.clientY);
    if (drawing === event.pointerId) for (const each of coalesced(event)) painter.tool.move(sample(each));
    else if (!before && painter.tool.isBusy) painter.tool.move(sample(event)); // a polygon's next edge follows the pointer
    return painter.hover(event.pointerType === "touch" ? null : view.point(event));
  });

  const pinch = (before, event) => {
    const other = [...pointers.values()].find(({ pointerId }) => pointerId !== event.pointerId);
    const spread = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
    const middle = { clientX: (event.clientX + other.clientX) / 2, clientY: (event.clientY + other.clientY) / 2 };
    view.pan((event.clientX - before.clientX) / 2, (event.clientY - before.clientY) / 2);
    view.zoom((view.scale * spread(event)) / Math.max(1, spread(before)), view.at(middle));
  };

  surface.addEventListener("pointerup", (event) => {
    if (drawing === event.pointerId) painter.tool.up();
    if (drawing === event.pointerId) drawing = null;
    forget(event);
  });
  surface.addEventListener("pointercancel", (event) => {
    if (drawing === event.pointerId) painter.tool.cancel();
    if (drawing === event.pointerId) drawing = null;
    forget(event);
  });
  surface.addEventListener("pointerleave", () => painter.hover(null));
  surface.addEventListener("contextmenu", (event) => event.preventDefault());

  surface.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const turned = event.deltaY || event.deltaX; // with Shift some systems turn the one into the other
      if (event.shiftKey || event.altKey) painter.resizeBrush(turned < 0 ? 1 : -1);
      else view.zoom(view.scale * Math.exp(-turned * WHEEL * (event.ctrlKey ? 4 : 1)), view.at(event));
    },
    { passive: false },
  );
}

function coalesced(event) {
  const events = event.getCoalescedEvents?.() ?? [];
  return events.length ? events : [event];
}
