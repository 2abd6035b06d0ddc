/* Shows the page in the visitor's language. Knows no component: it reads what stands on the page.

   A dictionary's keys are the English texts as they stand there. `{name}` in a key is whatever
   stands in that place, `<1>…</1>` an inline element of a sentence. What has no entry stays
   English. Nothing inside translate="no" is touched: prompts, names of models, code. */
(() => {
  const script = document.currentScript;
  const languages = JSON.parse(script.dataset.languages); // {code: its own name}
  const CHOICE = "genlab-language";
  const INLINE = new Set("A ABBR B BR CODE EM I KBD SMALL SPAN STRONG SUB SUP VAR".split(" "));
  const ATTRIBUTES = ["alt", "aria-label", "placeholder", "title"];
  const SENTENCE_END = /(?<=[.!?:;])\s+/;
  const UNTOUCHED = "script, style, textarea, code, kbd, pre, [translate=no], .katex";

  const chosen = () => {
    const named = new URLSearchParams(location.search).get("lang");
    const wanted = [named, stored(), ...(navigator.languages ?? [])].filter(Boolean);
    for (const tag of wanted) {
      if (tag in languages) return tag;
      const alike = Object.keys(languages).find((l) => l.split("-")[0] === tag.split("-")[0]);
      if (alike) return alike;
    }
    return "en";
  };
  const stored = () => {
    try { return localStorage.getItem(CHOICE); } catch { return null; }
  };

  const language = chosen();
  const texts = new Map(); // English text to its translation
  let patterns = []; // [regular expression, names of its places, translation], longest first
  let observer;

  const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const learn = (dictionary) => {
    for (const [english, own] of Object.entries(dictionary)) {
      const names = [...english.matchAll(/\{(\w+)\}/g)].map((found) => found[1]);
      if (!names.length) { texts.set(english, own); continue; }
      const parts = english.split(/\{\w+\}/).map(escaped);
      patterns.push([new RegExp(`^${parts.join("(.+?)")}$`, "su"), names, own, parts.join("").length]);
    }
    patterns.sort((one, other) => other[3] - one[3]);
  };

  /** The translation of a whole text by a key whose places take only values that fit; or null. */
  const whole = (text, fits = () => true) => {
    if (texts.has(text)) return texts.get(text);
    for (const [expression, names, own] of patterns) {
      const found = text.match(expression);
      if (!found || !found.slice(1).every(fits)) continue;
      const values = Object.fromEntries(names.map((name, k) => [name, said(found[k + 1]) ?? found[k + 1]]));
      return own.replace(/\{(\w+)\}/g, (_, name) => values[name]);
    }
    return null;
  };

  /** The translation of a text, sentence by sentence if need be; null if nothing of it is known. */
  const said = (text) => {
    const plain = text.replace(/\s+/g, " ").trim();
    if (!/[A-Za-z]/.test(plain)) return null;
    const sentences = plain.split(SENTENCE_END);
    if (sentences.length < 2) return whole(plain);
    const parts = inRuns(sentences);
    if (parts.every((part) => part.own !== null)) return joined(parts);
    return whole(plain) ?? (parts.some((part) => part.own !== null) ? joined(parts) : null);
  };

  /** Sentences in the longest runs that one key knows, with no sentence's end in a place of it. */
  const inRuns = (sentences) => {
    const parts = [];
    for (let at = 0, end; at < sentences.length; at = end) {
      let own = null;
      for (end = sentences.length; end > at && own === null; end -= 1) {
        own = whole(sentences.slice(at, end).join(" "), (value) => !SENTENCE_END.test(value));
      }
      end += 1;
      parts.push({ english: sentences.slice(at, end).join(" "), own });
    }
    return parts;
  };

  const joined = (parts) => parts.map((part) => part.own ?? ` ${part.english} `).join("").trim();

  const ofText = (node) => {
    const own = said(node.data);
    if (own === null) return;
    const [, before, after] = node.data.match(/^(\s*)[^]*?(\s*)$/);
    const shown = before + own + after;
    if (node.data !== shown) node.data = shown;
  };

  const ofAttributes = (element) => {
    for (const name of ATTRIBUTES) {
      const own = element.hasAttribute(name) ? said(element.getAttribute(name)) : null;
      if (own !== null && own !== element.getAttribute(name)) element.setAttribute(name, own);
    }
  };

  /** A sentence with inline elements, as a dictionary writes it; null if this is none. */
  const sentence = (element) => {
    const nodes = [...element.childNodes];
    const mixed = nodes.some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim());
    const children = [...element.children];
    if (!mixed || !children.length || !children.every((child) => INLINE.has(child.tagName))) return null;
    let count = 0;
    return nodes
      .map((node) => {
        if (node.nodeType === Node.TEXT_NODE) return node.data;
        if (node.nodeType !== Node.ELEMENT_NODE) return "";
        count += 1;
        return node.matches(UNTOUCHED) || node.tagName === "BR" || node.children.length
          ? `<${count}/>` : `<${count}>${node.textContent}</${count}>`;
      })
      .join("").replace(/\s+/g, " ").trim();
  };

  /** Write a translated sentence, moving the inline elements to where it has them. */
  const rewrite = (element, own) => {
    const children = [...element.children];
    const moved = new Set();
    const nodes = own.split(/(<\d+\/>|<\d+>.*?<\/\d+>)/s).filter(Boolean).map((part) => {
      const found = part.match(/^<(\d+)(?:\/>|>(.*?)<\/\d+>)$/s);
      let child = found && children[found[1] - 1];
      if (!child) return document.createTextNode(part);
      if (moved.has(child)) child = child.cloneNode(true);
      moved.add(child);
      if (found[2] === undefined) translate(child);
      else if (child.textContent !== found[2]) child.textContent = found[2];
      return child;
    });
    element.replaceChildren(...nodes);
  };

  /** Whether an element was a known sentence with inline elements; then it is translated now. */
  const ofSentence = (element) => {
    const key = sentence(element);
    const own = key === null ? null : whole(key);
    if (own !== null) rewrite(element, own);
    return own !== null;
  };

  const ofElement = (element) => {
    if (element.matches(UNTOUCHED)) return;
    ofAttributes(element);
    if (!ofSentence(element)) for (const child of [...element.childNodes]) translate(child);
  };

  const translate = (node) => {
    if (node.nodeType === Node.ELEMENT_NODE) ofElement(node);
    else if (node.nodeType === Node.TEXT_NODE) ofText(node);
  };

  const changed = (records) => {
    for (const { type, target, addedNodes } of records) {
      const element = target.nodeType === Node.ELEMENT_NODE ? target : target.parentElement;
      if (!element?.isConnected || element.closest(UNTOUCHED)) continue;
      if (type === "attributes") ofAttributes(target);
      else if (ofSentence(element)) continue; // whose parts may come one by one
      else if (type === "characterData") ofText(target);
      else addedNodes.forEach((node) => translate(node));
    }
    observer.takeRecords(); // our own
  };

  const begin = () => {
    observer = new MutationObserver(changed);
    translate(document.body);
    observer.observe(document.body, {
      subtree: true, childList: true, characterData: true,
      attributes: true, attributeFilter: ATTRIBUTES,
    });
  };

  const offer = () => {
    const [select] = document.querySelectorAll("#language");
    if (!select || select.options.length) return Boolean(select);
    for (const [code, name] of Object.entries(languages)) select.add(new Option(name, code));
    select.value = language;
    select.addEventListener("change", () => {
      try { localStorage.setItem(CHOICE, select.value); } catch { /* for this page only */ }
      const address = new URL(location.href);
      address.searchParams.delete("lang");
      if (stored() !== select.value) address.searchParams.set("lang", select.value);
      if (address.href === location.href) location.reload();
      else location.replace(address);
    });
    return true;
  };

  document.documentElement.lang = language;
  const waiting = setInterval(() => offer() && clearInterval(waiting), 100);
  if (language === "en") return;
  fetch(`${script.dataset.folder}${language}.json`)
    .then((answer) => answer.json())
    .then((dictionary) => { learn(dictionary); begin(); });
})();
