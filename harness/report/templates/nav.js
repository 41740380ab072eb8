// Contents, which stay open beside a wide page; where one is; links to places, which keep what was chosen.
(() => {
  const bar = document.querySelector("nav.bar"), contents = bar && bar.querySelector("details");
  const wide = matchMedia("(min-width: 100rem)"), OWN = ["_main", "_top"];
  function goto(anchor, calm) {
    const target = document.getElementById(anchor);
    if (!target) return;
    const closed = target.closest("details:not(.contents)");
    if (closed) closed.open = true;
    target.scrollIntoView(calm ? { behavior: "instant" } : {});
    if (!target.hasAttribute("tabindex")) target.tabIndex = -1;
    target.focus({ preventScroll: true });
  }
  function copy(link) {
    const say = (word) => {
      link.dataset.said = word;
      setTimeout(() => delete link.dataset.said, 1500);
    };
    if (navigator.clipboard) navigator.clipboard.writeText(location.href).then(() => say("copied"), () => {});
  }
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#"]');
    if (contents && contents.open && !wide.matches && (link || !contents.contains(event.target))) contents.open = false;
    if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const anchor = decodeURIComponent(link.getAttribute("href").slice(1)), chosen = address.read().chosen.toString();
    if (!document.getElementById(anchor)) return;
    event.preventDefault();
    // The address of a page that shows what its address names must stay as it is.
    if (!OWN.includes(anchor)) location.hash = `#${encodeURIComponent(anchor)}${chosen && "?" + chosen}`;
    goto(anchor);
    if (link.classList.contains("anchor")) copy(link);
  });
  const arrive = () => goto(address.read().anchor, true);
  window.addEventListener("hashchange", arrive);
  window.addEventListener("load", arrive);
  for (const details of document.querySelectorAll("details:not(.contents)")) {
    let was = details.open;
    window.addEventListener("beforeprint", () => { was = details.open; details.open = true; });
    window.addEventListener("afterprint", () => { details.open = was; });
  }
  if (!contents) return;
  const fit = () => { contents.open = wide.matches; };
  wide.addEventListener("change", fit);
  fit();
  contents.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || wide.matches) return;
    contents.open = false;
    contents.querySelector("summary").focus();
  });
  const links = new Map(Array.from(contents.querySelectorAll('a[href^="#"]'), (link) => [link.getAttribute("href").slice(1), link]));
  const here = contents.querySelector(".here");
  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) if (isIntersecting) {
      for (const [anchor, link] of links) {
        if (anchor === target.id) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current");
      }
      here.textContent = ` \u00b7 ${links.get(target.id).textContent}`;
    }
  }, { rootMargin: "-15% 0px -80% 0px" });
  for (const anchor of links.keys()) {
    const target = document.getElementById(anchor);
    if (target && !target.matches("article")) seen.observe(target);
  }
})();
