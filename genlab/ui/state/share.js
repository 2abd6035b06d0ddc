/* Copy link, QR code, Reset and Export (share.py). */
(() => {
  const link = () => location.origin + location.pathname + "?" + genlab.query(true);
  genlab.link = link;

  /* Says something beside the buttons, for a while. */
  const say = (bar, text) => {
    const place = bar.querySelector("[role=status]");
    place.textContent = text;
    setTimeout(() => place.textContent === text && (place.textContent = ""), 6000);
  };

  /* Without HTTPS browsers have no clipboard but the one of a selected text. */
  const copied = async text => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {}
    const field = document.createElement("textarea");
    field.value = text;
    field.style.cssText = "position:fixed;opacity:0";
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  };

  const here = ["localhost", "127.0.0.1", "[::1]"];

  const actions = {
    async copy(bar) {
      const text = link();
      if (await copied(text)) say(bar, "Link copied.");
      else actions.code(bar); // there it can be read
    },
    async code(bar) {
      const dialog = bar.parentElement.querySelector("dialog");
      const [picture, note] = [dialog.querySelector("img"), dialog.querySelector(".note")];
      const text = link();
      dialog.querySelector(".link").textContent = text;
      const asked = await fetch("qr.svg?text=" + encodeURIComponent(text));
      picture.hidden = !asked.ok;
      note.textContent = !asked.ok ? await asked.text()
        : here.includes(location.hostname)
          ? "This address leads to this machine alone: open GenLab by the machine's name or number to share it."
          : "";
      if (asked.ok) picture.src = "data:image/svg+xml," + encodeURIComponent(await asked.text());
      dialog.showModal();
    },
    reset() {
      const [tab, mode] = genlab.place();
      genlab.go(new URLSearchParams(mode ? {tab, mode} : {tab}).toString());
    },
    png: async bar => say(bar, await genlab.exports.png()),
    csv: async bar => say(bar, await genlab.exports.csv()),
    zip: async bar => say(bar, await genlab.exports.zip()),
  };

  document.addEventListener("click", event => {
    const button = event.target.closest?.("[data-share]"); // present.js has its own
    if (button?.dataset.share in actions) actions[button.dataset.share](button.closest(".share"));
    if (event.target.matches?.("dialog.share-code")) event.target.close();
  });
})();
