/* The address of the page in the browser: it holds tab, mode and every control that differs from its
   default, and follows them. What an address says is read by the server (genlab/ui/state/address.py). */
window.genlab = (() => {
  const OTHERS = ["lang", "view", "logs", "deep_link", "present"];
  const PAUSE = 300; // milliseconds: browsers refuse an address that changes all the time
  const PATIENCE = 10000; // milliseconds until a button that is to be pressed must be there
  let spec = null; // what there is: the tabs with their modes, the controls with their defaults
  let values = []; // of the controls, as the page has them
  let ready = false; // whether the page is where its address says
  let pending = "";
  let left = 0; // when the page set out for where it has not arrived yet; 0 if it has
  let further = false; // whether it has been sent somewhere else since
  let timer = null;
  const modes = {}; // the open one of each tab that was seen

  if (new URLSearchParams(location.search).get("embed"))
    document.documentElement.dataset.embed = ""; // share.css shows that panel alone

  const selected = ids =>
    [...document.querySelectorAll("[role=tab][aria-selected=true]")]
      .map(button => button.dataset.tabId).find(id => id in ids);

  const open = () => selected(spec.tabs) ?? Object.keys(spec.tabs)[0];

  const mode = tab => {
    const seen = selected(spec.tabs[tab]);
    if (seen) modes[tab] = spec.tabs[tab][seen];
    return modes[tab] ?? Object.values(spec.tabs[tab])[0];
  };

  const written = (control, value) => {
    if (value === null || value === undefined) return control.text ? "" : control.begin;
    if (control.choices) return control.choices.filter(name => value.includes(name)).join(",");
    return typeof value === "boolean" ? String(Number(value)) : String(value);
  };

  const encoded = text => encodeURIComponent(text).replaceAll("%20", "+").replaceAll("%2C", ",");

  /* The query for what is set; for one tab alone, as a link to it has it, or for the whole page. */
  const query = (alone = false) => {
    const tab = open(), parts = [];
    for (const other in spec.tabs) {
      const before = other === tab ? "" : other + ".";
      if (before && alone) continue;
      const now = mode(other);
      if (before && now !== Object.values(spec.tabs[other])[0]) parts.push([before + "mode", now]);
      spec.controls.forEach((control, k) => {
        if (control.tab !== other || !values.length) return;
        if (alone && control.mode && control.mode !== now) return;
        const text = written(control, values[k]);
        if (text !== control.begin) parts.push([before + control.name, text]);
      });
    }
    const first = tab === Object.keys(spec.tabs)[0];
    const own = mode(tab);
    if (alone || parts.length || !first || own !== Object.values(spec.tabs[tab])[0])
      parts.unshift(["tab", tab], ...(own ? [["mode", own]] : []));
    return parts.map(([name, text]) => encoded(name) + "=" + encoded(text)).join("&");
  };

  const write = () => {
    if (!ready) return;
    const kept = [...new URLSearchParams(location.search)]
      .filter(([name]) => OTHERS.includes(name) || name.startsWith("__") || name === "embed");
    const own = kept.map(([name, text]) => encoded(name) + "=" + encoded(text));
    const embedded = kept.some(([name]) => name === "embed");
    const parts = query(embedded).split("&")
      .filter(part => part && !(embedded && /^(tab|mode)=/.test(part)));
    const text = [...own, ...parts].join("&");
    const address = location.pathname + (text && "?" + text) + location.hash;
    if (address !== location.pathname + location.search + location.hash)
      history.replaceState(history.state, "", address);
  };

  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(write, PAUSE);
  };

  /* Calls found(element) as soon as there is one that can be seen. */
  const when = (find, found, since = Date.now()) => {
    const element = find();
    if (element) found(element);
    else if (Date.now() - since < PATIENCE) setTimeout(() => when(find, found, since), 50);
  };

  const seen = selector =>
    [...document.querySelectorAll(selector)].find(element => element.offsetParent !== null);

  /* Who this page belongs to: kept through a reload, and not shared with a copy of the tab. */
  const kept = (name, value) => {
    try {
      if (value === undefined) return sessionStorage.getItem("genlab-" + name);
      sessionStorage.setItem("genlab-" + name, value);
    } catch {} // a frame that may not store anything: then a reload begins anew
    return null;
  };

  const invented = () =>
    [...crypto.getRandomValues(new Uint8Array(20))].map(b => b.toString(16).padStart(2, "0")).join("");

  const taken = async token => {
    if (!window.BroadcastChannel) return false;
    const channel = new BroadcastChannel("genlab");
    let answered = false;
    channel.onmessage = ({data}) => {
      if (data.asks === me) channel.postMessage({has: me});
      if (data.has === token) answered = true;
    };
    channel.postMessage({asks: token});
    await new Promise(done => setTimeout(done, token ? 150 : 0));
    return answered;
  };

  let me = null;

  const identity = async () => {
    const token = kept("token");
    const copied = await taken(token);
    me = token && !copied ? token : invented();
    kept("token", me);
    return me;
  };

  addEventListener("pagehide", () => kept("scroll", String(scrollY)));

  const scrollBack = () => {
    const place = Number(kept("scroll"));
    kept("scroll", "0");
    if (place) when(() => document.documentElement.scrollHeight >= place + innerHeight || null,
      () => scrollTo(0, place));
  };

  document.addEventListener("click", event => {
    if (spec && event.target.closest?.("[role=tab], .overflow-dropdown")) setTimeout(soon);
  });

  return {
    /* Once, when the page is there; returns whose it is. */
    start(given) {
      spec = given;
      const asked = [...new URLSearchParams(location.search).keys()]
        .some(name => !OTHERS.includes(name) && !name.startsWith("__"));
      if (asked) this.go(location.search);
      else ready = true;
      return identity();
    },
    /* So many runs of this visitor are there: show them. */
    known(count) {
      const back = () => when(() => document.querySelector("#back"), button => button.click());
      // Controls that are set again may clear what belongs to them: that comes first.
      if (count) when(() => ready, () => setTimeout(back, 400));
      scrollBack();
    },
    /* Go where a query says: the server reads it, sets the controls, and arrived() is called. Of several
       places in a row the last one counts. */
    go(text) {
      pending = text;
      further = Date.now() - left < PATIENCE;
      if (further) return;
      left = Date.now();
      when(() => document.querySelector("#go"), button => button.click());
    },
    pending: () => pending,
    arrived(place, now) {
      values = now;
      Object.assign(modes, place.modes);
      left = 0;
      if (further) return void setTimeout(() => this.go(pending));
      ready = true;
      soon();
      if (!place.run) return;
      const button = place.run === "1" ? '[id$="-generate"]' : "#" + CSS.escape(place.run);
      const wanted = place.modes[place.tab];
      const there = () =>
        (!place.tab || place.tab === open()) && (!wanted || wanted === mode(place.tab))
          ? seen(button) : null;
      when(there, () => setTimeout(() => there()?.click(), 150)); // the mode's own, once it is open
    },
    changed(now) {
      values = now;
      soon();
    },
    query,
    /* Whose page it is; null until it is known. */
    visitor: () => me,
    /* What the tab of a run is called on this page. */
    titleOfRun: slot => window.genlab.title("tab=" + spec?.runs[slot]),
    /* What the tab and the mode of a query are called on this page. */
    title(text) {
      const asked = new URLSearchParams(text), tab = asked.get("tab");
      const called = id => document.querySelector(`[role=tab][data-tab-id="${CSS.escape(id ?? "")}"]`)?.textContent.trim();
      const modes = Object.entries(spec?.tabs[tab] ?? {}).find(([, name]) => name === asked.get("mode"));
      return [called(tab), called(modes?.[0])].filter(Boolean).join(", ");
    },
    /* The open tab and its open mode. */
    place: () => [open(), mode(open())],
  };
})();
