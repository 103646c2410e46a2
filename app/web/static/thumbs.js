// Small pictures: sharp pixels where they are enlarged, and no hole where there is none.
export function watch(picture) {
  const sharpen = () => picture.classList.toggle("enlarged", picture.naturalWidth < picture.clientWidth);
  picture.addEventListener("error", () => picture.replaceWith("no picture"));
  picture.addEventListener("load", sharpen);
  if (picture.complete && picture.naturalWidth) sharpen();
  else if (picture.complete && picture.src) picture.replaceWith("no picture");
}
for (const picture of document.querySelectorAll(".thumb img")) watch(picture);
