// Line icons drawn on a 16-pixel grid. They are decoration: the button that carries one has the name.

const PATHS = {
  play: '<path d="M5 3.2v9.6L12.6 8z" fill="currentColor" stroke-linejoin="round"/>',
  pause: '<path d="M5.2 3.5v9M10.8 3.5v9" stroke-width="2.2"/>',
  die: '<rect x="2.5" y="2.5" width="11" height="11" rx="2.2"/><path d="M5.6 5.6h.01M10.4 5.6h.01M8 8h.01M5.6 10.4h.01M10.4 10.4h.01" stroke-width="1.9"/>',
  reuse: '<path d="M13 6.2A5.3 5.3 0 0 0 3.3 5.4M3 9.8a5.3 5.3 0 0 0 9.7.8"/><path d="M3 2.6v2.9h2.9M13 13.4v-2.9h-2.9"/>',
  download: '<path d="M8 2.5v7.8M4.8 7.4 8 10.6l3.2-3.2M3 13.3h10"/>',
  alert: '<circle cx="8" cy="8" r="5.8"/><path d="M8 5v3.6M8 11h.01" stroke-width="1.7"/>',
  swap: '<path d="M3 5.5h9M9.6 3 12.2 5.5 9.6 8M13 10.5H4M6.4 8 3.8 10.5 6.4 13"/>',
  check: '<path d="m3.2 8.4 3.2 3.2 6.4-7" stroke-linejoin="round"/>',
  add: '<path d="M8 3v10M3 8h10"/>',
  remove: '<path d="m4 4 8 8M12 4l-8 8"/>',
  search: '<circle cx="7" cy="7" r="4.6"/><path d="m10.5 10.5 3 3"/>',
  up: '<path d="M4 9.8 8 5.6l4 4.2" stroke-linejoin="round"/>',
  down: '<path d="M4 6.2 8 10.4l4-4.2" stroke-linejoin="round"/>',
  history: '<path d="M2.6 8a5.4 5.4 0 1 0 1.7-3.9L2.6 5.6M2.6 2.6v3h3M8 5v3.2l2.2 1.4"/>',
  // the picture on the canvas
  "zoom-in": '<circle cx="7" cy="7" r="4.6"/><path d="m10.5 10.5 3 3M7 5v4M5 7h4"/>',
  "zoom-out": '<circle cx="7" cy="7" r="4.6"/><path d="m10.5 10.5 3 3M5 7h4"/>',
  grid: '<rect x="2.5" y="2.5" width="4.6" height="4.6" rx="1"/><rect x="8.9" y="2.5" width="4.6" height="4.6" rx="1"/><rect x="2.5" y="8.9" width="4.6" height="4.6" rx="1"/><rect x="8.9" y="8.9" width="4.6" height="4.6" rx="1"/>',
  compare: '<rect x="2.2" y="3.2" width="11.6" height="9.6" rx="1.6"/><path d="M8 1.6v12.8M4.6 8h1M10.4 8h1"/>',
  recipe: '<path d="M3.6 2.2h6.2l2.6 2.6v9H3.6z M9.6 2.4v2.6h2.6M5.8 8h4.4M5.8 10.8h4.4" stroke-linejoin="round"/>',
  favourite: '<path d="m8 2.2 1.8 3.7 4 .6-2.9 2.8.7 4L8 11.4l-3.6 1.9.7-4-2.9-2.8 4-.6z" stroke-linejoin="round"/>',
  send: '<path d="M9 3.2H3.4v9.6h9.2V9.4M8 8l5.4-5.4M10 2.6h3.4V6"/>',
  copy: '<rect x="5.6" y="5.6" width="7.8" height="7.8" rx="1.4"/><path d="M10.4 5.4V3.6a1 1 0 0 0-1-1H3.6a1 1 0 0 0-1 1v5.8a1 1 0 0 0 1 1h1.8"/>',
  folder: '<path d="M2.2 12.4V3.8h4l1.4 1.6h6.2v7z" stroke-linejoin="round"/>',
  trash: '<path d="M2.8 4.4h10.4M6.2 4.2V2.6h3.6v1.6M4.2 4.6l.7 8.8h6.2l.7-8.8M6.8 7v4M9.2 7v4" stroke-linejoin="round"/>',
  full: '<path d="M2.6 6V2.6H6M10 2.6h3.4V6M13.4 10v3.4H10M6 13.4H2.6V10"/>',
  bell: '<path d="M3.4 11.6c1.2-1 1.2-2.4 1.2-4.2a3.4 3.4 0 0 1 6.8 0c0 1.8 0 3.2 1.2 4.2zM6.8 13.6h2.4" stroke-linejoin="round"/>',
  // the painter
  brush: '<path d="M13.6 2.4 7.4 9M9.2 10.6c.6 2.2-1.6 3.4-6.4 3 1.2-.9.9-1.7 1.5-3a2.6 2.6 0 0 1 4.9 0z" stroke-linejoin="round"/>',
  eraser: '<path d="m6.2 13.2-3.5-3.5a1.2 1.2 0 0 1 0-1.7l5.2-5.2a1.2 1.2 0 0 1 1.7 0l3.6 3.6a1.2 1.2 0 0 1 0 1.7l-5.1 5.1zM5.3 5.5l5.2 5.2M6.2 13.2h7" stroke-linejoin="round"/>',
  lasso: '<path d="M4.6 10.5C3.2 9.8 2.3 8.6 2.3 7.2c0-2.6 2.6-4.6 5.9-4.6s5.6 1.8 5.6 4.1c0 2.5-2.7 4.3-6 4.3-.6 0-1.2-.1-1.7-.2"/><circle cx="5" cy="11.3" r="1.4"/><path d="M5 12.7c0 .6-.3 1-.8 1.3"/>',
  polygon: '<path d="m2.6 6.4 5.2-4 5.6 3.8-2.2 7.2-6.8-.6z" stroke-linejoin="round"/><path d="M2.6 6.4h.01M7.8 2.4h.01M13.4 6.2h.01M11.2 13.4h.01M4.4 12.8h.01" stroke-width="2.6"/>',
  rectangle: '<rect x="2.6" y="3.6" width="10.8" height="8.8" rx=".6"/>',
  fill: '<path d="M6.4 2.6 12.2 8.4 7 13.2 2.4 8.6zM6.4 2.6 4.8 1.6M2.6 8.6h9.4" stroke-linejoin="round"/><path d="M13.6 10.8c.7 1 1 1.5 1 2a1 1 0 0 1-2 0c0-.5.3-1 1-2z"/>',
  box: '<path d="M2.6 5.4V2.6h2.8M10.6 2.6h2.8v2.8M13.4 10.6v2.8h-2.8M5.4 13.4H2.6v-2.8"/><circle cx="8" cy="8" r="1.6"/>',
  everything: '<rect x="2.6" y="2.6" width="10.8" height="10.8" rx="1.2" fill="currentColor" fill-opacity=".35"/>',
  invert: '<circle cx="8" cy="8" r="5.6"/><path d="M8 2.4a5.6 5.6 0 0 1 0 11.2z" fill="currentColor"/>',
  undo: '<path d="M3 6.4h6.2a3.6 3.6 0 0 1 0 7.2H6.4M5.8 3.4l-3 3 3 3" stroke-linejoin="round"/>',
  redo: '<path d="M13 6.4H6.8a3.6 3.6 0 0 0 0 7.2h2.8M10.2 3.4l3 3-3 3" stroke-linejoin="round"/>',
  portrait: '<circle cx="8" cy="6.2" r="2.4"/><path d="M3.6 13.4c.4-2.6 2-3.8 4.4-3.8s4 1.2 4.4 3.8M2.2 2.2h2M11.8 2.2h2M2.2 4.2v-2M13.8 4.2v-2" stroke-linejoin="round"/>',
  // groups of tabs
  create: '<rect x="2.2" y="3" width="11.6" height="10" rx="1.8"/><path d="m2.6 11.2 3.2-3.3 2.6 2.6 2-1.9 3 2.9M10.6 5.9h.01" stroke-linejoin="round"/>',
  guide: '<circle cx="8" cy="8" r="4.4"/><path d="M8 1.8v3.4M8 10.8v3.4M1.8 8h3.4M10.8 8h3.4"/>',
  explore: '<path d="M2.6 2.6v10.8h10.8M5 10.6c1.3-5.2 2.9-6 4.1-4.1s2.1 1.4 3.9-2.7"/>',
  train: '<path d="M4.6 4.4v7.2M2.4 6v4M11.4 4.4v7.2M13.6 6v4M4.6 8h6.8"/>',
  keep: '<path d="M2 3h12v2.6H2zM2.9 5.6h10.2v6.2a1.2 1.2 0 0 1-1.2 1.2H4.1a1.2 1.2 0 0 1-1.2-1.2zM6.3 8.4h3.4" stroke-linejoin="round"/>',
  settings: '<path d="M2.4 5h5.8M11.8 5h1.8M2.4 11h1.8M7.8 11h5.8"/><circle cx="10" cy="5" r="1.8"/><circle cx="6" cy="11" r="1.8"/>',
};

export function icon(name) {
  const holder = document.createElement("span");
  holder.className = "icon";
  holder.setAttribute("aria-hidden", "true");
  holder.innerHTML = `<svg viewBox="0 0 16 16" width="16" height="16" fill="none" stroke="currentColor" stroke-width="1.4" stroke-linecap="round">${PATHS[name]}</svg>`;
  return holder;
}
