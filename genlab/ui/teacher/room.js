/* The vote and the wall, for all pages (room.py): who drew what, and what the class has drawn. */
(() => {
  const {part, write, tell, store} = genlab.lesson;
  const MINE = "genlab-vote";
  const LETTERS = "ABCDEFGHIJ";
  const make = (name, given = {}, ...inside) => {
    const element = Object.assign(document.createElement(name), given);
    element.append(...inside);
    return element;
  };

  const pictures = (addresses, alt) => {
    const grid = make("div", {className: "room-pictures"});
    addresses.forEach((src, k) => grid.append(make("img", {src, alt: `${alt}, ${k + 1}`})));
    return grid;
  };

  /* --- the vote --------------------------------------------------------------------------- */

  const mine = vote => {
    try {
      const kept = JSON.parse(store(MINE) || "{}");
      return kept.id === vote.id ? kept.answers : [];
    } catch { return []; }
  };

  const bars = (vote, k) => {
    const list = make("ul", {className: "room-bars"});
    vote.titles.forEach((title, choice) => {
      const count = vote.counts[k][choice];
      const right = vote.truth[k] === choice;
      if (!count && !right) return;
      const bar = make("i");
      bar.style.width = `${100 * count / Math.max(1, vote.voters)}%`;
      const line = make("li", {}, make("span", {textContent: title}), make("b", {textContent: count}), bar);
      if (right) line.dataset.right = "";
      list.append(line);
    });
    return list;
  };

  const choice = (vote, k) => {
    const name = `Who drew column ${LETTERS[k]}?`;
    const select = make("select", {}, make("option", {value: "", textContent: "No idea"}));
    select.setAttribute("aria-label", name);
    vote.titles.forEach((title, n) => select.append(make("option", {value: n, textContent: title})));
    select.value = mine(vote)[k] ?? "";
    return select;
  };

  const column = (vote, k) => {
    const own = make("figure", {}, make("figcaption", {textContent: LETTERS[k]}),
      pictures(vote.columns[k], `Column ${LETTERS[k]}`));
    if (!vote.truth) return own.append(choice(vote, k)), own;
    const guess = mine(vote)[k];
    own.append(make("p", {}, make("strong", {textContent: vote.titles[vote.truth[k]]})));
    if (guess != null)
      own.append(make("p", {className: "note", textContent: guess === vote.truth[k] ? "You were right." : "You thought otherwise."}));
    own.append(bars(vote, k));
    return own;
  };

  let drawn = "";

  const drawVote = vote => {
    const box = part("vote");
    box.hidden = !vote;
    const now = vote ? vote.id + Boolean(vote.truth) : "";
    if (now === drawn) return; // a choice that is being made stays
    drawn = now;
    const place = box.querySelector("div");
    place.replaceChildren(...(vote ? vote.columns.map((_, k) => column(vote, k)) : []));
    box.querySelector("[data-room=vote]").hidden = !vote || Boolean(vote.truth);
    write(part("voted"), vote?.truth ? `Votes: ${vote.voters}`
      : vote && mine(vote).length ? "Your vote is in. You may change it until the answer is shown." : "");
  };

  const send = async () => {
    const {vote} = genlab.lesson.state();
    const answers = [...part("vote").querySelectorAll("select")]
      .map(select => select.value === "" ? null : Number(select.value));
    try {
      await tell("vote", {id: vote.id, answers, visitor: genlab.visitor()});
      store(MINE, JSON.stringify({id: vote.id, answers}));
      write(part("voted"), "Your vote is in. You may change it until the answer is shown.");
    } catch (error) {
      write(part("voted"), error.message);
    }
  };

  /* --- the wall --------------------------------------------------------------------------- */

  let hung = null;

  const post = one => {
    const title = genlab.title(new URLSearchParams({tab: one.tab ?? "", ...(one.mode && {mode: one.mode})}).toString());
    const own = make("figure", {}, pictures(one.pictures, title || "Picture"), make("figcaption", {textContent: title}));
    if (genlab.lesson.teacher()) {
      const down = make("button", {type: "button", textContent: "Take down"});
      down.dataset.post = one.id;
      own.append(down);
    }
    return own;
  };

  const drawWall = async wall => {
    const box = part("wall");
    box.hidden = !wall;
    box.querySelector("[data-room=post]").hidden = !wall?.open;
    write(box.querySelector("summary"), wall ? `The class's wall: ${wall.count}` : "");
    const details = box.querySelector("details");
    if (!wall || !details.open || hung === wall.changes) return;
    hung = wall.changes;
    const answer = await fetch("./lesson/wall");
    if (!answer.ok) return;
    const posts = await answer.json();
    details.querySelector("div").replaceChildren(...posts.map(post));
  };

  /* What the open panel shows; pictures of other machines or of files have no address here. */
  const shown = () => [...document.querySelectorAll("#tabs img")]
    .filter(image => image.offsetParent && image.getAttribute("src")?.startsWith("pictures/"))
    .map(image => image.getAttribute("src"));

  const putUp = async () => {
    const [tab, mode] = genlab.place();
    try {
      const own = shown().slice(0, 4);
      if (!own.length) throw new Error("There is no picture here to put up: draw one first.");
      await tell("post", {pictures: own, tab, mode, visitor: genlab.visitor()});
      write(part("posted"), "Your pictures are on the wall, without a name.");
      await genlab.lesson.again();
    } catch (error) {
      write(part("posted"), error.message);
    }
  };

  /* --- listening -------------------------------------------------------------------------- */

  document.addEventListener("click", async event => {
    const name = event.target.closest?.("button[data-room]")?.dataset.room;
    if (name === "vote") send();
    if (name === "post") putUp();
    const down = event.target.closest?.("button[data-post]");
    if (!down) return;
    await tell("take-down", {post: down.dataset.post});
    genlab.lesson.again();
  });

  document.addEventListener("toggle", event => {
    if (!event.target.closest?.('[data-lesson="wall"]')) return;
    hung = null;
    drawWall(genlab.lesson.state()?.wall);
  }, true);

  genlab.lesson.when(state => {
    drawVote(state.vote);
    drawWall(state.wall);
  });
})();
