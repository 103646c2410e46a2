// Data sets: add some, delete one. Public API only.
import { ask, byId, complain, post } from "./page.js";

let chosen;

async function attempt(act) {
  try {
    await act();
    location.reload();
  } catch (error) {
    byId("uploading").textContent = "";
    complain(byId("refused"), error);
  }
}

async function upload(files) {
  const name = encodeURIComponent(files[0].name.replace(/\.[^.]*$/, "").slice(0, 60));
  let body = files[0];
  if (files.length > 1) { body = new FormData(); for (const file of files) body.append("file", file); }
  await ask(`/v1/datasets?name=${name}`, { method: "POST", body });
}

byId("upload").addEventListener("change", ({ target }) => {
  if (!target.files.length) return;
  byId("uploading").textContent = "Sending …";
  attempt(() => upload([...target.files]));
});
for (const button of document.querySelectorAll("[data-built-in]")) {
  button.addEventListener("click", () => attempt(() => post("/v1/datasets", { source: { type: "builtin", name: button.dataset.builtIn } })));
}
for (const button of document.querySelectorAll("[data-delete]")) {
  button.addEventListener("click", () => {
    chosen = button.dataset.delete;
    byId("confirm-title").textContent = `Delete ${button.dataset.name}?`;
    byId("confirm").showModal();
  });
}
byId("confirm").addEventListener("close", () => {
  if (byId("confirm").returnValue === "delete") attempt(() => ask(`/v1/datasets/${chosen}`, { method: "DELETE" }));
});
