// A square to draw a digit on, with mouse, pen or finger, or to put a picture file in. The file stays in
// the browser: what is sent are 28 x 28 grey values. Knows only ids and classes of draw.py.
window.genlabDraw = (() => {
  const SIDE = 28;
  const PEN = 0.075; // of the square's side: as thick as MNIST's
  const FAINT = 0.25; // of a file's strongest ink; less is paper
  let last = null;
  let value = "";

  const square = () => document.querySelector("#latents-draw-pad canvas");
  const ink = () => square().getContext("2d", { willReadFrequently: true });

  const send = () => {
    const small = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE });
    const context = small.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(square(), 0, 0, SIDE, SIDE);
    const { data } = context.getImageData(0, 0, SIDE, SIDE);
    const greys = Array.from({ length: SIDE * SIDE }, (_, k) => data[4 * k]);
    value = greys.some(Boolean) ? btoa(String.fromCharCode(...greys)) : "";
    document.querySelector("#latents-draw-drawn")?.click();
  };

  const clear = () => {
    const canvas = square();
    if (!canvas) return;
    ink().fillStyle = "#000";
    ink().fillRect(0, 0, canvas.width, canvas.height);
    canvas.closest(".pad").classList.remove("inked");
    value = "";
  };

  const place = (event) => {
    const canvas = square(), box = canvas.getBoundingClientRect();
    const scale = canvas.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  };

  const stroke = (to) => {
    const context = ink();
    context.strokeStyle = "#fff";
    context.lineWidth = PEN * square().width;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(...last);
    context.lineTo(...to);
    context.stroke();
    last = to;
  };

  /* A picture in the middle of the square, as white ink on black: what differs from its corner. */
  const put = (picture) => {
    clear();
    const canvas = square(), context = ink();
    const scale = canvas.width / Math.max(picture.width, picture.height);
    const [wide, high] = [picture.width * scale, picture.height * scale];
    const [left, top] = [(canvas.width - wide) / 2, (canvas.height - high) / 2];
    context.drawImage(picture, left, top, wide, high);
    const [red, green, blue] = context.getImageData(left + wide / 8, top + 3, 1, 1).data;
    context.fillStyle = `rgb(${red}, ${green}, ${blue})`; // its ground goes on around it
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(picture, left, top, wide, high);
    const image = context.getImageData(0, 0, canvas.width, canvas.height), { data } = image;
    const grey = (k) => 0.299 * data[k] + 0.587 * data[k + 1] + 0.114 * data[k + 2];
    const ground = 0.299 * red + 0.587 * green + 0.114 * blue;
    const levels = Array.from({ length: data.length / 4 }, (_, k) => Math.abs(grey(4 * k) - ground));
    const most = levels.reduce((one, other) => Math.max(one, other), 1);
    levels.forEach((level, k) => {
      const share = Math.max(0, level / most - FAINT) / (1 - FAINT);
      data[4 * k] = data[4 * k + 1] = data[4 * k + 2] = 255 * share;
    });
    context.putImageData(image, 0, 0);
    canvas.closest(".pad").classList.add("inked");
  };

  document.addEventListener("pointerdown", (event) => {
    if (event.target !== square() || !event.isPrimary || event.button > 0) return;
    event.preventDefault();
    event.target.setPointerCapture(event.pointerId);
    if (!value) clear();
    event.target.closest(".pad").classList.add("inked");
    last = place(event);
    stroke([last[0] + 0.1, last[1]]);
  });
  document.addEventListener("pointermove", (event) => {
    if (!last || event.target !== square()) return;
    for (const each of event.getCoalescedEvents?.() ?? [event]) stroke(place(each));
  });
  for (const name of ["pointerup", "pointercancel"])
    document.addEventListener(name, () => {
      if (!last) return;
      last = null;
      send();
    });

  document.addEventListener("click", (event) => {
    if (!event.target.closest?.("#latents-draw-pad .clear")) return;
    clear();
    document.querySelector("#latents-draw-drawn")?.click();
  });

  document.addEventListener("change", async (event) => {
    const box = event.target.closest?.("#latents-draw-pad input[type=file]");
    const told = document.querySelector("#latents-draw-pad .told");
    if (!box?.files.length) return;
    try {
      put(await createImageBitmap(box.files[0]));
      told.textContent = "";
      send();
    } catch {
      told.textContent = "This browser cannot read that file as a picture.";
    }
    box.value = "";
  });

  return {
    value: () => value,
    /* A test picture was chosen instead. */
    leave() {
      clear();
      return "";
    },
  };
})();
