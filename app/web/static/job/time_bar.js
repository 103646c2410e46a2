// The bar under the pictures: dragged, played and moved by keys; its step stands in the address.
import { byId, number } from "../page.js";

const PICTURES_A_SECOND = 8;

export class TimeBar {
  // `moved(step)` is called at most once for each frame of the screen.
  constructor(time, moved) {
    this.time = time;
    this.moved = moved;
    this.bar = byId("time");
    this.playing = null;
    time.addEventListener("change", () => this.#soon());
    this.bar.addEventListener("input", () => { this.stop(); time.go(Number(this.bar.value)); });
    byId("play").addEventListener("click", () => (this.playing ? this.stop() : this.play()));
    byId("live").addEventListener("click", () => { this.stop(); time.live(); });
    addEventListener("keydown", (event) => this.#key(event));
    addEventListener("hashchange", () => this.readAddress());
  }

  // `#step=540` in the address is where the bar stands.
  readAddress() {
    const given = /^#step=(\d+)$/.exec(location.hash);
    if (!given) return;
    this.asked = Number(given[1]);
    this.time.go(this.asked);
  }

  // Nothing new will come.
  end() {
    this.ended = true;
    this.#soon();
  }

  play() {
    if (this.time.step >= this.time.end) this.time.go(0);
    this.playing = setInterval(() => { if (!this.time.move(1)) this.stop(); }, 1000 / PICTURES_A_SECOND);
    this.#label();
  }

  stop() {
    clearInterval(this.playing);
    this.playing = null;
    this.#label();
  }

  #label() {
    byId("play").textContent = this.playing ? "Pause" : "Play";
    byId("play").setAttribute("aria-label", this.playing ? "Stop playing" : "Play the training");
  }

  #key(event) {
    const typing = event.target.closest?.("input:not(#time), select, textarea, button, a, dialog");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = {
      " ": () => (this.playing ? this.stop() : this.play()),
      ArrowLeft: () => this.#move(-1), ArrowRight: () => this.#move(1),
      Home: () => this.#go(0), End: () => this.#go(this.time.end),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  #move(direction) { this.stop(); this.time.move(direction); }

  #go(step) { this.stop(); this.time.go(step); }

  #soon() {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => { this.due = false; this.#show(); });
  }

  #show() {
    const { step, end, follows } = this.time;
    this.bar.max = end;
    this.bar.value = step;
    this.bar.setAttribute("aria-valuetext", `step ${step} of ${end}`);
    byId("moment").textContent = `${number(step)} of ${number(end)}`;
    byId("live").setAttribute("aria-pressed", follows);
    const [here, there] = this.ended ? ["Newest", "To the newest"] : ["● Live", "Go live"];
    byId("live").textContent = follows ? here : there;
    this.#writeAddress();
    this.moved(step);
  }

  // Browsers refuse more than some hundred changes of the address in half a minute.
  #writeAddress() {
    if (this.writing) return;
    this.writing = setTimeout(() => {
      this.writing = null;
      const wanted = this.time.follows ? "" : `#step=${this.time.step}`;
      if (location.hash !== wanted) history.replaceState(null, "", wanted || location.pathname + location.search);
    }, 250);
  }
}
