/* What the class sees of a lesson (layout.py): it follows what the teacher shows, and holds. */
genlab.lesson = (() => {
  const EVERY = 2500; // milliseconds
  const FOLLOW = "genlab-follow", SEEN = "genlab-shown";
  const listeners = []; // called with each new state
  let state = null;
  let tag = null;

  const part = name => document.querySelector(`[data-lesson="${name}"]`);

  /* Kept through a reload; a frame that may not store anything begins anew. */
  const store = (name, value) => {
    try {
      if (value === undefined) return sessionStorage.getItem(name);
      if (value === null) sessionStorage.removeItem(name);
      else sessionStorage.setItem(name, value);
    } catch {}
    return null;
  };

  const teacher = () => Boolean(store("genlab-teacher"));
  const follows = () => !teacher() && store(FOLLOW) !== "no";

  /* Writes only what is new: another script may have put it into another language. */
  const write = (element, text) => {
    if (!element || element.dataset.written === text) return;
    element.dataset.written = element.textContent = text;
  };

  const held = () => Boolean(state?.frozen && !teacher());

  const draw = () => {
    const own = part("class");
    if (!own) return;
    const shown = state.shown;
    own.hidden = teacher() || !(shown || state.frozen);
    write(part("held"), held()
      ? "Your teacher has paused all pages: look to the front. What you have drawn stays." : "");
    write(part("shows"), shown ? `Your teacher shows ${genlab.title(shown.query)}.` : "");
    part("follow").hidden = !shown;
    part("follow").querySelector("input").checked = follows();
    const tabs = document.querySelector("#tabs");
    if (tabs && tabs.inert !== held()) tabs.inert = held();
  };

  /* Go where the teacher is; a page that was opened later draws nothing by itself. */
  const go = first => {
    const shown = state.shown;
    if (!shown || !follows() || store(SEEN) === shown.id) return;
    store(SEEN, shown.id);
    genlab.go(shown.query + (shown.run && !first && !state.frozen ? "&run=1" : ""));
  };

  const ask = async () => {
    if (document.hidden && !teacher() || !genlab.visitor() || !part("class")) return;
    try {
      const answer = await fetch("./lesson", {cache: "no-cache"});
      if (!answer.ok) return;
      const now = answer.headers.get("ETag");
      if (now && now === tag) return;
      const first = tag === null;
      tag = now;
      state = await answer.json();
      draw();
      go(first);
      for (const call of listeners) call(state);
      if (first) setTimeout(draw, 1500); // titles that were not there yet
    } catch { /* the network is gone; the page itself says so */ }
  };

  /* Tells the server something; returns its answer, or throws its sentence. */
  const tell = async (action, body = {}) => {
    const own = store("genlab-teacher");
    const answer = await fetch("./lesson/" + action, {
      method: "POST",
      headers: {"Content-Type": "application/json", ...(own && {Authorization: "Bearer " + own})},
      body: JSON.stringify(body),
    });
    const said = await answer.json();
    if (answer.status === 403 && own) signedOut();
    if (!answer.ok) throw new Error(said.error);
    return said;
  };

  const signedOut = () => {
    store("genlab-teacher", null);
    again();
  };

  const again = () => {
    tag = null;
    return ask();
  };

  document.addEventListener("change", event => {
    if (!event.target.closest?.('[data-lesson="follow"]')) return;
    store(FOLLOW, event.target.checked ? "yes" : "no");
    if (event.target.checked) go(true);
  });

  // Ctrl + Enter presses a button that a hand cannot reach; the server would refuse it.
  addEventListener("keydown", event => {
    if (!held() || event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }, true);

  if (!new URLSearchParams(location.search).get("embed")) {
    setInterval(ask, EVERY);
    setTimeout(ask, 500);
    document.addEventListener("visibilitychange", ask);
  }

  return {
    part, store, write, tell, teacher, again, signedOut,
    state: () => state,
    when: call => listeners.push(call),
  };
})();
