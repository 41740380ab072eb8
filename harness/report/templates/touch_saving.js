// Figures as files: the picture as it stands, with its legend, in colours and fonts that need no page.
function pictureOf(owner) {
  const { svg } = owner, copy = svg.cloneNode(true), page = getComputedStyle(document.body), ink = getComputedStyle(svg);
  const ground = page.backgroundColor === "rgba(0, 0, 0, 0)" ? "white" : page.backgroundColor;
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("viewBox", `0 0 ${owner.width} ${owner.height}`);
  const size = { width: Math.round((owner.width * 4) / 3), height: Math.round((owner.height * 4) / 3) };
  for (const key in size) copy.setAttribute(key, size[key]);
  copy.removeAttribute("class");
  copy.style.minWidth = "";
  copy.style.color = ink.color;
  const legend = partOf(copy, "legend");
  if (legend) legend.removeAttribute("display");
  for (const [i, name] of (owner.keys ? Array.from(owner.keys.keys()) : []).entries())
    if (owner.hidden.has(name)) for (const part of ["handle", "name"]) partOf(legend, part + i).setAttribute("opacity", "0.25");
  copy.querySelector("title").after(drawnIn("rect", { x: 0, y: 0, width: owner.width, height: owner.height, style: `fill: ${ground}; stroke: none` }));
  const text = new XMLSerializer().serializeToString(copy);
  const fonts = page.fontFamily.replaceAll('"', "'");
  return { ...size, text: text.replaceAll("var(--sans, sans-serif)", fonts).replaceAll("currentColor", ink.color).replaceAll("currentcolor", ink.color) };
}
function save(owner, content, ending) {
  const url = URL.createObjectURL(content), link = element("a", "", { href: url, download: `${owner.figure.id}.${ending}` });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}
const saveSvg = (owner) => save(owner, new Blob([pictureOf(owner).text], { type: "image/svg+xml" }), "svg");
function savePng(owner) {
  const { text, width, height } = pictureOf(owner), image = new Image(), canvas = element("canvas", "", { width: 2 * width, height: 2 * height });
  image.addEventListener("load", () => {
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    canvas.toBlob((content) => save(owner, content, "png"), "image/png");
  });
  image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(text);
}
