// How a training run is written about.

const STATES = { running: "Training", paused: "Paused", done: "Done", failed: "Failed" };

export function stateTitle(run) {
  return run.waits ? "Waits for a picture" : (STATES[run.state] ?? run.state);
}

/** "3 min", "1 h 20 min": of what is left. */
export function left(seconds) {
  if (!Number.isFinite(seconds) || seconds <= 0) return "";
  if (seconds < 90) return `${Math.ceil(seconds)} s left`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min left` : `${Math.floor(minutes / 60)} h ${minutes % 60} min left`;
}
