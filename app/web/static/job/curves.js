// Curves of the measures, one plot for those of one kind, with a cursor at the moment. Plotly draws when data come;
// the cursor is an element of ours above the plot, so that moving it costs nothing.
import { colour, el, number, words } from "../page.js";

const PLOTS = [
  ["Loss and its terms", ["loss", "reconstruction", "sparsity", "prediction", "classification"]],
  ["Variance not explained", ["unexplained_variance"]],
  ["Classification error", ["classification_error"]],
  ["Active units of a code", ["l0"]],
  ["Kinds of units", ["dead_units", "part_units", "categorical_units"]],
  ["Images a second", ["samples_per_second"]],
];
const MARGIN = { l: 46, r: 10, t: 6, b: 26 };

export class Curves {
  // `taken(step)` is called for a click on a plot.
  constructor(place, history, taken) {
    this.place = place;
    this.history = history;
    this.taken = taken;
    this.plots = new Map();
    this.end = 1;
    new ResizeObserver(() => this.#measure()).observe(place);
  }

  // Draws what is known; `end` is the last step of the bar.
  draw(end) {
    this.end = Math.max(1, end);
    for (const [title, names] of PLOTS) {
      const measured = names.filter((name) => this.history.columns.has(name));
      if (measured.length) this.#plot(title, measured);
    }
    this.#measure();
  }

  #plot(title, names) {
    if (!this.plots.has(title)) this.plots.set(title, this.#made(title));
    const plot = this.plots.get(title);
    if (plot.names.length !== names.length) this.#legend(plot, title, names);
    const traces = names.map((name, place) => ({
      x: this.history.steps, y: this.history.get(name), name: words(name), type: "scatter", mode: "lines",
      line: { color: colour(`curve-${place + 1}`), width: 1.6 }, hoverinfo: "skip",
    }));
    Plotly.react(plot.graph, traces, this.#layout(), { displayModeBar: false, responsive: true });
  }

  #layout() {
    const axis = { gridcolor: colour("line"), zeroline: false, fixedrange: true, tickfont: { size: 11 }, automargin: false };
    return {
      margin: MARGIN, showlegend: false, hovermode: false, dragmode: false,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: colour("faint") },
      xaxis: { ...axis, range: [0, this.end], nticks: 5 }, yaxis: { ...axis, rangemode: "tozero", nticks: 5 },
    };
  }

  #made(title) {
    const graph = el("div");
    const cursor = el("div", { className: "cursor" });
    const legend = el("figcaption");
    const around = el("div", { className: "plot" }, graph, cursor);
    this.place.append(el("figure", { className: "curve" }, legend, around));
    around.addEventListener("click", (event) => {
      const left = event.clientX - around.getBoundingClientRect().left - MARGIN.l;
      this.taken((left / this.#inner(around.clientWidth)) * this.end);
    });
    return { graph, cursor, legend, around, names: [], values: [] };
  }

  #legend(plot, title, names) {
    plot.names = names;
    plot.values = names.map((name, place) => {
      const value = el("span", { className: "value", data: { measure: name } });
      value.style.setProperty("--of", `var(--curve-${place + 1})`);
      return value;
    });
    plot.legend.replaceChildren(el("b", {}, title), ...plot.values);
  }

  #inner(width) { return Math.max(1, width - MARGIN.l - MARGIN.r); }

  #measure() {
    for (const plot of this.plots.values()) plot.width = this.#inner(plot.around.clientWidth);
    if (this.step !== undefined) this.point(this.step);
  }

  // Moves the cursors and writes the values of the moment.
  point(step) {
    this.step = step;
    for (const { names, values, cursor, width } of this.plots.values()) {
      cursor.style.transform = `translateX(${MARGIN.l + (Math.min(step, this.end) / this.end) * width}px)`;
      names.forEach((name, place) => {
        const text = `${names.length > 1 ? `${words(name)} ` : ""}${number(this.history.at(name, step))}`;
        if (values[place].textContent !== text) values[place].textContent = text;
      });
    }
  }
}
