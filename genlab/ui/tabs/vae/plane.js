// The planes of 2-D codes answer to touch: where one is pressed or drawn over, z1 and z2 are set, and
// the page draws from there. The mark follows z1 and z2 whoever set them, and each plane says how far
// the nearest test picture's code is. Knows nothing of models: only ids and classes of codes.py.
window.genlabPlane = (() => {
  const STEP = 0.01; // of a code that is touched
  const HOLE = 0.2; // of how far codes lie from the middle: from here on none is near
  let at = [0, 0];
  let layers = "both"; // of codes and digits
  let waiting = false;

  const planes = () => [...document.querySelectorAll("#vae-codes-planes .plane")];
  const short = (value) => value.toFixed(2).replace("-", "−");

  const nearest = (plane) => {
    let best = Infinity, name = "", count = 0, squares = 0;
    for (const path of plane.querySelectorAll(".dots path")) {
      const numbers = (path.getAttribute("d").match(/-?[\d.]+(?= |h)/g) ?? []).map(Number);
      for (let k = 0; k + 1 < numbers.length; k += 2) {
        count += 1;
        squares += numbers[k] ** 2 + numbers[k + 1] ** 2;
        const far = Math.hypot(numbers[k] - at[0], -numbers[k + 1] - at[1]);
        if (far < best) [best, name] = [far, path.dataset.class];
      }
    }
    if (!count) return "\u00a0";
    return best > HOLE * Math.sqrt(squares / count)
      ? `A hole: the nearest test code, of class ${name}, is ${best.toFixed(2)} away.`
      : `Nearest test code: class ${name}, ${best.toFixed(2)} away.`;
  };

  const show = () => {
    const box = document.querySelector("#vae-codes-planes");
    if (box) box.dataset.shown = layers;
    for (const plane of planes()) {
      const reach = Number(plane.dataset.reach);
      plane.style.setProperty("--z1", at[0]);
      plane.style.setProperty("--z2", at[1]);
      plane.classList.toggle("beyond", Math.max(...at.map(Math.abs)) > reach);
      const told = plane.querySelector(".nearest"), text = nearest(plane);
      if (told.dataset.said !== text) {
        told.dataset.said = text; // what it says may be translated meanwhile
        told.textContent = text;
      }
    }
  };

  const touch = (event) => {
    const frame = event.target.closest?.("#vae-codes-planes .frame");
    if (!frame) return;
    if (event.type === "pointerdown") frame.setPointerCapture?.(event.pointerId);
    else if (!event.buttons) return;
    const box = frame.querySelector("svg").getBoundingClientRect();
    const reach = Number(frame.parentElement.dataset.reach);
    const place = (share) => {
      const z = Math.min(Math.max(2 * share - 1, -1), 1) * reach;
      return Math.round(z / STEP) * STEP;
    };
    at = [
      place((event.clientX - box.left) / box.width),
      place(1 - (event.clientY - box.top) / box.height),
    ].map((z) => Number(z.toFixed(2)));
    show();
    if (waiting) return;
    waiting = true;
    setTimeout(() => {
      waiting = false;
      document.querySelector("#vae-codes-touch")?.click();
    }, 60);
  };
  document.addEventListener("pointerdown", touch);
  document.addEventListener("pointermove", touch);

  return {
    at: () => at,
    /* The settings as they stand on the page, after a change of theirs or of the planes. */
    moved(z1, z2, shown) {
      layers = shown;
      at = [z1, z2].map((z) => Number(z) || 0);
      show();
      setTimeout(show, 300); // new planes may take a moment to be there
    },
  };
})();
