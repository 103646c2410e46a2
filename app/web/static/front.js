// Reloads the wall while a job lives, when the tab is looked at.
const live = document.querySelector(".state.running, .state.queued, .state.cancelling, .state.pausing");
if (live) setInterval(() => document.hidden || location.reload(), 5000);
for (const picture of document.querySelectorAll(".wall img")) {
  const sharpen = () => picture.classList.toggle("enlarged", picture.naturalWidth < picture.clientWidth);
  picture.addEventListener("error", () => picture.remove());
  picture.addEventListener("load", sharpen);
  if (picture.complete && picture.naturalWidth) sharpen();
}
