// For hands and ears: keys, skip links, the result in sight, one live region, and names and roles
// that Gradio leaves out. Knows no tab: it goes by roles and by classes that all tabs share.
(() => {
  const NARROW = 800; // pixels; below, what a button draws lies under it
  const SPOKEN = 5000; // milliseconds between two readings of a status that changes
  const RESULTS = ".panel, .cards, .plotted, .rung, .trajectory, .cells, .blank, .result";
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const shown = (element) => element.getClientRects().length > 0;
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // --- tabs: one stop for the tab key, arrows between them ----------------------------------

  const tabsOf = (list) => all("[role=tab]", list).filter((tab) => shown(tab) && !tab.disabled);

  document.addEventListener("keydown", (event) => {
    const tab = event.target.closest?.("[role=tab]");
    const list = tab?.closest("[role=tablist]");
    if (!list || event.ctrlKey || event.metaKey || event.altKey) return;
    const tabs = tabsOf(list);
    const at = tabs.indexOf(tab);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = tabs[(to + tabs.length) % tabs.length];
    next.click();
    next.focus();
  });

  const oneStop = () => {
    for (const tab of all("[role=tablist] [role=tab]")) {
      const stop = tab.getAttribute("aria-selected") === "true" ? 0 : -1;
      if (tab.tabIndex !== stop) tab.tabIndex = stop;
    }
  };

  // --- Generate and Stop by keys -------------------------------------------------------------

  const nearest = (selector) => {
    const buttons = all(selector).filter((button) => shown(button) && !button.disabled);
    const box = document.activeElement?.closest("[role=tabpanel]") ?? document.body;
    const column = document.activeElement?.closest(".column:has(.go)");
    return (
      buttons.find((button) => column?.contains(button)) ??
      buttons.find((button) => box.contains(button)) ??
      buttons[0]
    );
  };
  const open = () => all("[role=listbox], [role=dialog], dialog[open]").some(shown);

  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      const button = nearest(".go button.primary");
      if (!button) return;
      event.preventDefault();
      event.stopPropagation();
      document.activeElement?.blur?.(); // a number that is being typed counts
      setTimeout(() => {
        button.focus({ preventScroll: true });
        button.click();
        bringIntoView(button);
      }, 60);
    }
    if (event.key === "Escape" && !open()) nearest(".go button.stop")?.click();
  }, true);

  // --- what a button draws comes into view ---------------------------------------------------

  const resultOf = (button) => {
    const panel = button.closest("[role=tabpanel]") ?? document.body;
    const found = all(RESULTS, panel).filter(shown);
    const after = (element) => button.compareDocumentPosition(element) & 4;
    return found.find(after) ?? found[0];
  };

  const bringIntoView = (button) => {
    const result = resultOf(button)?.getBoundingClientRect();
    if (!result) return;
    const seen = Math.min(result.bottom, innerHeight) - Math.max(result.top, 0);
    if (seen >= 0.6 * Math.min(result.height, innerHeight)) return;
    const row = button.closest(".go").getBoundingClientRect();
    const near = row.top < result.top && result.top - row.top < 0.4 * innerHeight;
    const top = scrollY + (near ? row.top : result.top) - 8;
    scrollTo({ top, behavior: calm.matches ? "auto" : "smooth" });
  };

  let entered = 0; // when Enter was pressed last: a text box presses the button for its visitor
  addEventListener("keydown", (event) => event.key === "Enter" && (entered = event.timeStamp), true);
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.(".go button.primary");
    if (!button || (!event.isTrusted && event.timeStamp - entered > 500)) return;
    setTimeout(() => bringIntoView(button), 50);
  });

  // --- one live region -------------------------------------------------------------------------

  const region = Object.assign(document.createElement("div"), { className: "heard" });
  region.setAttribute("role", "status");
  let timer = null;
  let news = "";
  let last = 0;
  const speak = () => {
    timer = null;
    last = performance.now();
    region.textContent = news;
  };
  const hear = (status) => {
    if (!shown(status) || status.querySelector("[role=alert]")) return;
    const text = all("p", status).map((line) => line.textContent).join(" ");
    if (!text || text === news) return;
    news = text;
    timer ??= setTimeout(speak, Math.max(400, last + SPOKEN - performance.now()));
  };

  // --- skip links --------------------------------------------------------------------------------

  const skips = document.createElement("nav");
  skips.className = "skips";
  skips.setAttribute("aria-label", "Shortcuts within the page");
  const skip = (words, target) => {
    const link = Object.assign(document.createElement("a"), { href: "#tabs", textContent: words });
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const element = target();
      element?.focus();
      element?.scrollIntoView({ block: "center" });
    });
    skips.append(link);
  };
  skip("Skip to the open tab", () => document.querySelector("#tabs [role=tab][aria-selected=true]"));
  skip("Skip to Generate", () => nearest(".go button.primary"));

  // --- names and roles that Gradio leaves out ----------------------------------------------------

  const mend = () => {
    oneStop();
    for (const button of all(".go button.primary"))
      button.setAttribute("aria-keyshortcuts", "Control+Enter");
    for (const button of all(".go button.stop")) button.setAttribute("aria-keyshortcuts", "Escape");
  };

  let mending = null;
  const watch = new MutationObserver((changes) => {
    for (const change of changes) {
      const element = change.target.nodeType === 1 ? change.target : change.target.parentElement;
      const status = element?.closest(".status");
      if (status) hear(status);
    }
    mending ??= setTimeout(() => {
      mending = null;
      mend();
    }, 100);
  });

  const begin = () => {
    document.body.prepend(skips);
    document.body.append(region);
    watch.observe(document.body, {
      subtree: true, childList: true, characterData: true,
      attributes: true, attributeFilter: ["aria-selected", "aria-expanded", "disabled"],
    });
    mend();
  };
  if (document.body) begin();
  else addEventListener("DOMContentLoaded", begin);
})();
