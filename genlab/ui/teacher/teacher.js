/* The teacher's tools (layout.py). The key is sent once; the page keeps a token of its own. */
(() => {
  const {part, write, tell, store} = genlab.lesson;
  const SIGN = 20000, OFTEN = 2500; // milliseconds between two signs that the teacher is there

  const say = text => write(part("teacher-note"), text);

  const show = () => {
    const tools = part("teacher");
    if (!tools) return;
    tools.hidden = !genlab.lesson.teacher();
    part("sign-in").hidden = genlab.lesson.teacher();
  };

  const attempt = async (doing, done) => {
    try {
      const answer = await doing();
      if (done) say(typeof done === "function" ? done(answer) : done);
      await genlab.lesson.again();
    } catch (error) {
      say(error.message);
    }
    show();
  };

  /* The columns of the Compare tab that have pictures: their names, and the pictures' addresses. */
  const compared = () => [...document.querySelectorAll(".cards article")]
    .map(card => [card.querySelector("h2"), [...card.querySelectorAll("img[src]")]])
    .filter(([title, images]) => title && images.length && title.offsetParent)
    .map(([title, images]) => ({
      title: title.textContent,
      pictures: images.slice(0, 9).map(image => image.getAttribute("src")),
    }));

  const actions = {
    show: () => {
      const query = new URLSearchParams(genlab.query(true));
      const run = document.querySelector('[data-teach="run"]').checked;
      return attempt(() => tell("show", {query: query.toString(), run}),
        run && genlab.lesson.state()?.frozen
          ? "All pages that follow show this. They are frozen, so they draw nothing."
          : "All pages that follow show this.");
    },
    freeze: () => {
      const frozen = !genlab.lesson.state()?.frozen;
      return attempt(() => tell("freeze", {frozen}),
        frozen ? "All other pages are held." : "All pages go on.");
    },
    ask: () => attempt(() => tell("ask", {columns: compared()}),
      "All pages vote on your columns, shuffled and without names."),
    reveal: () => attempt(() => tell("reveal"), "All pages see who drew what, and what the room thought."),
    "end-vote": () => attempt(() => tell("end-vote"), "The vote has ended."),
    wall: () => {
      const open = !genlab.lesson.state()?.wall;
      return attempt(() => tell("wall", {open}), open
        ? "Whoever likes puts pictures on the wall; you may take any down."
        : "The wall is closed, and what was on it is forgotten.");
    },
    end: () => attempt(() => tell("end"), "The lesson has ended: nothing of it is kept."),
    "sign-out": () => attempt(async () => {
      await tell("sign-out");
      genlab.lesson.signedOut();
    }),
  };

  document.addEventListener("click", event => {
    const button = event.target.closest?.("button[data-teach]");
    if (button) actions[button.dataset.teach]?.(button);
    const ends = event.target.closest?.("button[data-run]");
    if (ends) attempt(() => tell("cancel", {run: Number(ends.dataset.run)}), "The run was ended.").then(look);
  });

  document.addEventListener("submit", async event => {
    const form = event.target.closest?.('[data-lesson="sign-in"] form');
    if (!form) return;
    event.preventDefault();
    const field = form.querySelector("input"), note = form.querySelector("[role=status]");
    const key = field.value;
    field.value = "";
    try {
      store("genlab-teacher", (await tell("sign-in", {key, visitor: genlab.visitor()})).token);
      write(note, "");
      form.closest("details").open = false;
      await genlab.lesson.again();
      show();
      part("teacher").querySelector("button").focus();
    } catch (error) {
      write(note, error.message);
    }
  });

  /* --- who waits -------------------------------------------------------------------------- */

  const row = run => {
    const line = document.createElement("li");
    const words = document.createElement("span");
    const title = genlab.titleOfRun(run.where) || genlab.title("tab=" + run.where) || "Script";
    const who = run.visitor ? `Visitor ${run.visitor}` : "Drawn for everybody"; // what a panel opens with
    words.textContent = `${who}, ${title}: ${run.requests} open, for ${run.seconds} s`;
    const button = Object.assign(document.createElement("button"), {type: "button", textContent: "End it"});
    button.dataset.run = run.run;
    line.append(words, button);
    return line;
  };

  const look = async () => {
    if (!genlab.lesson.teacher()) return;
    try {
      const runs = await tell("waiting"), box = part("waiting");
      const summary = box.querySelector("summary");
      if (genlab.lesson.state()?.vote) {
        const {voters} = await tell("voters");
        write(document.querySelector('[data-teach="reveal"]'), `Show the answer (votes: ${voters})`);
      }
      write(summary, runs.length ? `Who waits: ${runs.length}` : "Who waits");
      if (!box.open) return;
      const list = document.createElement("ul");
      list.append(...runs.map(row));
      if (!runs.length) list.append(Object.assign(document.createElement("li"), {textContent: "Nobody."}));
      const focused = document.activeElement?.dataset?.run;
      box.querySelector("div").replaceChildren(list);
      if (focused) box.querySelector(`[data-run="${focused}"]`)?.focus();
    } catch (error) {
      if (!genlab.lesson.teacher()) show();
    }
  };

  let last = 0;
  setInterval(() => {
    const watched = part("waiting")?.open || genlab.lesson.state()?.vote;
    const pause = watched && !document.hidden ? OFTEN : SIGN;
    if (Date.now() - last < pause) return;
    last = Date.now();
    look();
  }, 500);

  genlab.lesson.when(state => {
    show();
    const button = document.querySelector('[data-teach="freeze"]');
    if (!button) return;
    document.querySelector('[data-teach="reveal"]').hidden = !state.vote || Boolean(state.vote.truth);
    document.querySelector('[data-teach="end-vote"]').hidden = !state.vote;
    const wall = document.querySelector('[data-teach="wall"]');
    wall.setAttribute("aria-pressed", String(Boolean(state.wall)));
    write(wall, state.wall ? "Close the wall" : "Open a wall");
    button.setAttribute("aria-pressed", String(state.frozen));
    write(button, state.frozen ? "Unfreeze pages" : "Freeze pages");
  });
})();
