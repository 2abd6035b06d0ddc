/* The presenter's view (present.css): what is shown, large, and nothing to set. ``present=1`` in the
   address opens with it; full screen needs a hand, so only the button takes that. */
(() => {
  const NAME = "present";
  const page = document.documentElement;
  const on = () => NAME in page.dataset;
  const size = () => innerWidth > 800 ? "large" : "small"; // there is no room to enlarge on a phone

  /* The address says it, so that a reload stays. */
  const note = () => {
    const query = new URLSearchParams(location.search);
    if (on()) query.set(NAME, "1");
    else query.delete(NAME);
    const text = query.toString();
    history.replaceState(history.state, "", location.pathname + (text && "?" + text) + location.hash);
  };

  const set = present => {
    if (present === on()) return;
    if (present) page.dataset[NAME] = size();
    else delete page.dataset[NAME];
    note();
    dispatchEvent(new Event("resize")); // plots take the room that there is now
  };

  const bar = () => document.querySelector("[data-leave]");

  const enter = async () => {
    set(true);
    scrollTo(0, 0);
    try { await page.requestFullscreen?.(); } catch {} // a frame may not
    bar()?.focus({preventScroll: true});
  };

  const leave = async () => {
    set(false);
    try { if (document.fullscreenElement) await document.exitFullscreen(); } catch {}
    document.querySelector("[data-share=present]")?.focus({preventScroll: true});
  };

  document.addEventListener("click", event => {
    if (event.target.closest?.("[data-share=present]")) enter();
    if (event.target.closest?.("[data-leave]")) leave();
  });
  document.addEventListener("fullscreenchange", () => document.fullscreenElement || leave());

  if (new URLSearchParams(location.search).get(NAME) === "1") page.dataset[NAME] = size();
})();
