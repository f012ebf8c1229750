// Undo and redo over the versions of a layer. Versions share the tiles in which they agree; the oldest are dropped when all of
// them together hold more tiles than fit.

const STEPS = 100;
const MOST_TILES = 320; // of 1 MiB each

export class History {
  constructor(tiles) {
    Object.assign(this, { tiles, versions: [tiles.version], at: 0 });
  }

  /** The layer has come to a new version. */
  keep() {
    this.versions = [...this.versions.slice(0, this.at + 1), this.tiles.version].slice(-STEPS);
    while (this.versions.length > 2 && new Set(this.versions.flat()).size > MOST_TILES) this.versions.shift();
    this.at = this.versions.length - 1;
  }

  get canUndo() {
    return this.at > 0;
  }

  get canRedo() {
    return this.at < this.versions.length - 1;
  }

  /** False if there is no such step. */
  step(by) {
    const version = this.versions[this.at + by];
    if (!version) return false;
    this.at += by;
    this.tiles.version = version;
    return true;
  }
}
