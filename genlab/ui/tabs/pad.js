// A square to paint on: with mouse, pen or finger; by arrow keys, which move a cross, and Space, which puts
// the pen down or lifts it; or a picture file to put in. Knows no tab: whoever has a .pad says what to do.
window.genlabPad = (within, on) => {
  // Places are [x, y] as shares of the square's side. on: begin(), stroke(from, to), done(), and
  // file(bitmap), which are told what happens; ready(), whether there is something to paint on.
  const STEP = 1 / 28; // of the arrow keys; with Shift three times as far
  let last = null;
  let cross = null; // where the keys have led to
  let down = false; // whether their pen is

  const pad = () => document.querySelector(within);
  const square = () => pad()?.querySelector("canvas");

  const told = (text) => {
    pad().querySelector(".told").textContent = text;
  };

  const place = (event) => {
    const box = square().getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.width];
  };

  const stroke = (to) => {
    on.stroke(last, to);
    last = to;
  };

  const begin = (at) => {
    on.begin();
    last = at;
    stroke([at[0] + 0.0004, at[1]]); // a point is a short line
  };

  const end = () => {
    if (!last) return;
    last = null;
    on.done();
  };

  const lift = () => {
    if (down) end();
    down = false;
    pad()?.classList.remove("down");
  };

  document.addEventListener("pointerdown", (event) => {
    if (event.target !== square() || !event.isPrimary || event.button > 0 || !on.ready()) return;
    event.preventDefault();
    event.target.setPointerCapture(event.pointerId);
    lift();
    begin(place(event));
  });
  document.addEventListener("pointermove", (event) => {
    if (!last || down || event.target !== square()) return;
    for (const each of event.getCoalescedEvents?.() ?? [event]) stroke(place(each));
  });
  for (const name of ["pointerup", "pointercancel"])
    document.addEventListener(name, () => {
      if (!down) end();
    });

  const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  document.addEventListener("keydown", (event) => {
    if (event.target !== square() || !on.ready() || event.ctrlKey || event.altKey || event.metaKey) return;
    const way = WAYS[event.key];
    if (!way && event.key !== " ") return;
    event.preventDefault();
    cross ??= [0.5, 0.5];
    if (way) {
      const far = event.shiftKey ? 3 * STEP : STEP;
      cross = cross.map((value, k) => Math.min(1, Math.max(0, value + far * way[k])));
      if (down) stroke(cross);
    } else if (down) lift();
    else if (!event.repeat) {
      begin(cross);
      down = true;
      pad().classList.add("down");
    }
    for (const [k, name] of ["--x", "--y"].entries()) pad().style.setProperty(name, cross[k]);
    pad().classList.add("keyed");
  });
  document.addEventListener("focusout", (event) => {
    if (event.target !== square()) return;
    lift();
    pad().classList.remove("keyed");
  });

  document.addEventListener("change", async (event) => {
    const box = event.target.closest?.(within + " input[type=file]");
    if (!box?.files.length) return;
    try {
      on.file(await createImageBitmap(box.files[0]));
      told("");
      on.done();
    } catch {
      told("This browser cannot read that file as a picture.");
    }
    box.value = "";
  });

  return { pad, square, told };
};

/* A white line on a square of `side` pixels, between two places; its width is a share of the side, too. */
genlabPad.line = (context, side, width, from, to) => {
  context.strokeStyle = "#fff";
  context.lineWidth = width * side;
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  context.moveTo(from[0] * side, from[1] * side);
  context.lineTo(to[0] * side, to[1] * side);
  context.stroke();
};
