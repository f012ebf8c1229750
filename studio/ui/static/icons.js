// Line icons drawn on a 16-pixel grid. They are decoration: the button that carries one has the name.

const PATHS = {
  play: '<path d="M5 3.2v9.6L12.6 8z" fill="currentColor" stroke-linejoin="round"/>',
  pause: '<path d="M5.2 3.5v9M10.8 3.5v9" stroke-width="2.2"/>',
  die: '<rect x="2.5" y="2.5" width="11" height="11" rx="2.2"/><path d="M5.6 5.6h.01M10.4 5.6h.01M8 8h.01M5.6 10.4h.01M10.4 10.4h.01" stroke-width="1.9"/>',
  reuse: '<path d="M13 6.2A5.3 5.3 0 0 0 3.3 5.4M3 9.8a5.3 5.3 0 0 0 9.7.8"/><path d="M3 2.6v2.9h2.9M13 13.4v-2.9h-2.9"/>',
  download: '<path d="M8 2.5v7.8M4.8 7.4 8 10.6l3.2-3.2M3 13.3h10"/>',
  alert: '<circle cx="8" cy="8" r="5.8"/><path d="M8 5v3.6M8 11h.01" stroke-width="1.7"/>',
  swap: '<path d="M3 5.5h9M9.6 3 12.2 5.5 9.6 8M13 10.5H4M6.4 8 3.8 10.5 6.4 13"/>',
};

export function icon(name) {
  const holder = document.createElement("span");
  holder.className = "icon";
  holder.setAttribute("aria-hidden", "true");
  holder.innerHTML = `<svg viewBox="0 0 16 16" width="16" height="16" fill="none" stroke="currentColor" stroke-width="1.4" stroke-linecap="round">${PATHS[name]}</svg>`;
  return holder;
}
