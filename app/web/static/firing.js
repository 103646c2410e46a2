// Features of one image by unit: how strong each is at most, and where.

// `shape` of the features; of patches their rows and columns come first. `map` is the sheet that filters lie on.
export class Firing {
  constructor(values, shape, facts, map, size) {
    Object.assign(this, { values, shape, facts, map, size });
    const own = facts.cuts ? shape.slice(2) : shape;
    this.patches = facts.cuts ? shape.slice(0, 2) : [1, 1];
    this.places = own.length === 3 ? own.slice(0, 2) : [1, 1];
    this.channels = own.at(-1);
  }

  get active() {
    return this.values.reduce((count, value) => count + (value !== 0), 0);
  }

  // Which filter a number belongs to: units of a sheet have one each, which may repeat over it.
  unitOf(index) {
    const { facts, map, channels, places } = this;
    const own = index % (places[0] * places[1] * channels);
    if (!facts.local || facts.pooled || !map) return own % channels;
    const row = Math.floor(own / places[1]), column = own % places[1];
    return (row % map.height) * map.width + (column % map.width);
  }

  // [{unit, value}], the strongest first, each at its strongest place.
  strongest(most) {
    const best = new Map();
    this.values.forEach((value, index) => {
      if (value === 0) return;
      const unit = this.unitOf(index);
      if (Math.abs(value) > Math.abs(best.get(unit) ?? 0)) best.set(unit, value);
    });
    const sorted = [...best].sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
    return sorted.slice(0, most).map(([unit, value]) => ({ unit, value }));
  }

  // Whether there is more than one place to show.
  get spreads() {
    const { patches, places, facts } = this;
    return patches[0] * patches[1] > 1 || (facts.placed !== null && places[0] * places[1] > 1);
  }

  // Where in the image a unit fires: cells in pixels. Without known places in a patch, the whole patch.
  cells(unit) {
    const { patches, places, channels, facts, values, size } = this;
    const each = places[0] * places[1] * channels, cells = [];
    const [rows, columns] = facts.input_shape;
    for (let patch = 0; patch < patches[0] * patches[1]; patch++) {
      const top = Math.min(Math.floor(patch / patches[1]) * rows, size.height - rows);
      const left = Math.min((patch % patches[1]) * columns, size.width - columns);
      let whole = 0;
      for (let own = 0; own < each; own++) {
        const index = patch * each + own, value = values[index];
        if (value === 0 || this.unitOf(index) !== unit) continue;
        if (!facts.placed) {
          whole = Math.abs(value) > Math.abs(whole) ? value : whole;
          continue;
        }
        const place = Math.floor(own / channels), { start, step, size: side } = facts.placed;
        cells.push({ top: top + start + step * Math.floor(place / places[1]), left: left + start + step * (place % places[1]), width: side, height: side, value });
      }
      if (whole !== 0) cells.push({ top, left, width: columns, height: rows, value: whole });
    }
    return cells;
  }
}
