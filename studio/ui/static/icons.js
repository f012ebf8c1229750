// Line icons drawn on a 16-pixel grid. They are decoration: the button that carries one has the name.

const PATHS = {
  play: '<path d="M5 3.2v9.6L12.6 8z" fill="currentColor" stroke-linejoin="round"/>',
  pause: '<path d="M5.2 3.5v9M10.8 3.5v9" stroke-width="2.2"/>',
  die: '<rect x="2.5" y="2.5" width="11" height="11" rx="2.2"/><path d="M5.6 5.6h.01M10.4 5.6h.01M8 8h.01M5.6 10.4h.01M10.4 10.4h.01" stroke-width="1.9"/>',
  reuse: '<path d="M13 6.2A5.3 5.3 0 0 0 3.3 5.4M3 9.8a5.3 5.3 0 0 0 9.7.8"/><path d="M3 2.6v2.9h2.9M13 13.4v-2.9h-2.9"/>',
  download: '<path d="M8 2.5v7.8M4.8 7.4 8 10.6l3.2-3.2M3 13.3h10"/>',
  alert: '<circle cx="8" cy="8" r="5.8"/><path d="M8 5v3.6M8 11h.01" stroke-width="1.7"/>',
  swap: '<path d="M3 5.5h9M9.6 3 12.2 5.5 9.6 8M13 10.5H4M6.4 8 3.8 10.5 6.4 13"/>',
  add: '<path d="M8 3v10M3 8h10"/>',
  remove: '<path d="m4 4 8 8M12 4l-8 8"/>',
  up: '<path d="M4 9.8 8 5.6l4 4.2" stroke-linejoin="round"/>',
  down: '<path d="M4 6.2 8 10.4l4-4.2" stroke-linejoin="round"/>',
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
