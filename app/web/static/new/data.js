// The data set of a new job: one that is there, one that comes with Pinwheel, or files of this computer.
import { byId, complain, el, number, post, read, readAll } from "../page.js";

export class DataChoice {
  // `changed()` is called when another one is chosen.
  constructor(changed) {
    this.changed = changed;
    this.select = byId("dataset");
    this.select.addEventListener("change", () => this.#chosen());
    byId("validation").addEventListener("change", () => this.changed());
    byId("upload").addEventListener("change", ({ target }) => this.#upload([...target.files]));
  }

  // The data set that measures are computed on, or "".
  get validation() { return byId("validation").value; }

  get id() { return this.select.value.startsWith("built-in:") ? null : this.select.value; }

  async load() {
    const found = await readAll("/v1/datasets");
    const missing = this.select.dataset.builtIn.split(" ").filter((name) => !found.some((each) => each.name === name));
    const options = () => found.map((each) => el("option", { value: each.id, data: { name: each.name ?? "" } }, `${each.name ?? each.id} · ${number(each.images.count)} × ${(each.images.shape ?? ["any size"]).join(" × ")}${each.labels ? `, ${each.labels.classes} classes` : ""}`));
    const kept = this.validation;
    byId("validation").replaceChildren(el("option", { value: "" }, "none"), ...options());
    byId("validation").value = kept;
    this.select.replaceChildren(
      ...options(),
      ...missing.map((name) => el("option", { value: `built-in:${name}`, data: { name } }, `${name} (comes with Pinwheel)`)));
  }

  // The newest data set of a name, or one that comes with Pinwheel and is added now.
  async choose(name) {
    const option = [...this.select.options].find((each) => each.dataset.name === name);
    if (option) this.select.value = option.value;
    await this.#chosen();
  }

  async #chosen() {
    if (this.select.value.startsWith("built-in:")) {
      const made = await post("/v1/datasets", { source: { type: "builtin", name: this.select.value.slice(9) } });
      await this.load();
      this.select.value = made.id;
    }
    this.changed();
  }

  async #upload(files) {
    if (!files.length) return;
    byId("uploading").textContent = `Sending ${files.length === 1 ? files[0].name : `${files.length} files`} …`;
    try {
      const name = encodeURIComponent(files[0].name.replace(/\.[^.]*$/, "").slice(0, 60));
      let body = files[0];
      if (files.length > 1) { body = new FormData(); for (const file of files) body.append("file", file); }
      const made = await read(`/v1/datasets?name=${name}`, { method: "POST", body });
      await this.load();
      this.select.value = made.id;
      byId("uploading").textContent = `${number(made.images.count)} images are there${made.skipped.length ? `, ${made.skipped.length} files were skipped` : ""}.`;
      complain(byId("refused"), null);
      this.changed();
    } catch (error) {
      byId("uploading").textContent = "";
      complain(byId("refused"), error);
    }
  }
}
