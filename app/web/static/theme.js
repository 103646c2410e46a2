// Light, dark, or as the system has it: set before the first paint, remembered by this browser.
(() => {
  const order = ["system", "light", "dark"];
  const root = document.documentElement;
  let kept = "system";
  try { kept = localStorage.getItem("theme") ?? kept; } catch { /* a browser that keeps nothing */ }
  const show = (theme) => {
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    dispatchEvent(new Event("themechange"));
  };
  show(kept);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("themechange")));
  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    button.textContent = `Theme: ${kept}`;
    button.addEventListener("click", () => {
      kept = order[(order.indexOf(kept) + 1) % order.length];
      try { localStorage.setItem("theme", kept); } catch { /* as above */ }
      button.textContent = `Theme: ${kept}`;
      show(kept);
    });
  });
})();
