// A square to draw a digit on, with mouse, pen or finger, or to put a picture file in. The file stays in
// the browser: what is sent are 28 x 28 grey values. Knows only ids and classes of draw.py.
window.genlabDraw = (() => {
  const SIDE = 28;
  const PEN = 0.075; // of the square's side: as thick as MNIST's
  const FAINT = 0.25; // of a file's strongest ink; less is paper
  let value = "";

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

  const stroke = (from, to) => genlabPad.line(ink(), square().width, PEN, from, to);

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

  const begin = () => {
    if (!value) clear();
    square().closest(".pad").classList.add("inked");
  };

  const { square } = genlabPad("#latents-draw-pad .pad", {
    ready: () => true, begin, stroke, done: send, file: put,
  });

  document.addEventListener("click", (event) => {
    if (!event.target.closest?.("#latents-draw-pad .clear")) return;
    clear();
    document.querySelector("#latents-draw-drawn")?.click();
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
