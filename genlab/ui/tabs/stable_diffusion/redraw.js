// The picture that Redraw begins with, and the mask painted over it. A file is cut and shrunk here, so that
// little is sent. Knows only ids and classes of redraw.py.
window.genlabRedraw = (() => {
  const MOST = 768; // pixels a side of what is sent; more no model here draws
  const SMALL = 128; // up to here a picture is sent as a PNG, and shown by whole pixels
  const MASK = 256; // pixels a side
  const BRUSH = 0.12; // of the square's side
  const PAINT = "rgba(168, 85, 247, 0.6)";
  let picture = null; // a square canvas
  let mask = null; // likewise, white on nothing
  let painted = false;

  const sheet = (side) => Object.assign(document.createElement("canvas"), { width: side, height: side });

  const show = () => {
    const canvas = square();
    if (!canvas || !picture) return;
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = picture.width > SMALL;
    context.drawImage(picture, 0, 0, canvas.width, canvas.height);
    const over = sheet(MASK), veil = over.getContext("2d");
    veil.drawImage(mask, 0, 0);
    veil.globalCompositeOperation = "source-in";
    veil.fillStyle = PAINT;
    veil.fillRect(0, 0, MASK, MASK);
    context.imageSmoothingEnabled = true;
    context.drawImage(over, 0, 0, canvas.width, canvas.height);
  };

  /* The page's hidden boxes take what is written. */
  const send = () => document.querySelector("#sd-redraw-taken")?.click();

  const wipe = () => {
    mask = sheet(MASK);
    painted = false;
    show();
  };

  /* The middle square of an image or bitmap. */
  const take = (image) => {
    const [wide, high] = [image.naturalWidth ?? image.width, image.naturalHeight ?? image.height];
    const cut = Math.min(wide, high);
    picture = sheet(Math.min(cut, MOST));
    const context = picture.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.fillStyle = "#fff";
    context.fillRect(0, 0, picture.width, picture.width);
    context.drawImage(image, (wide - cut) / 2, (high - cut) / 2, cut, cut, 0, 0, picture.width, picture.width);
    wipe();
  };

  const bare = (address) => address.slice(address.indexOf(",") + 1);

  /* What is sent: the picture, and the mask if anything was painted. */
  const written = () => {
    if (!picture) return ["", ""];
    const small = picture.width <= SMALL;
    const given = small ? picture.toDataURL("image/png") : picture.toDataURL("image/jpeg", 0.92);
    if (!painted) return [bare(given), ""];
    const whole = sheet(MASK), context = whole.getContext("2d");
    context.fillRect(0, 0, MASK, MASK);
    context.drawImage(mask, 0, 0);
    return [bare(given), bare(whole.toDataURL("image/png"))];
  };

  const stroke = (from, to) => {
    genlabPad.line(mask.getContext("2d"), MASK, BRUSH, from, to);
    painted = true;
    show();
  };

  const { pad, square, told } = genlabPad("#sd-redraw-pad .pad", {
    ready: () => mask, begin() {}, stroke, done: send, file: take,
  });

  const load = (address, then) => {
    const image = new Image();
    image.onload = () => {
      take(image);
      then?.();
    };
    image.onerror = () => told("That picture cannot be read.");
    image.src = address;
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("#sd-redraw-pad button");
    if (!button) return;
    told("");
    if (button.matches(".clear")) {
      wipe();
      send();
    }
    if (button.matches(".half")) {
      mask.getContext("2d").fillStyle = "#fff";
      mask.getContext("2d").fillRect(0, 0, MASK, MASK / 2);
      painted = true;
      show();
      send();
    }
    if (button.matches(".drawn")) {
      const drawn = document.querySelector("#sd-gallery .grid img:not([src^=data])");
      if (drawn) load(drawn.src, send);
      else told("Generate has drawn nothing yet.");
    }
  });

  /* A picture and a mask that are in the page's boxes already: shown, not sent again. */
  const given = (start, painting) => {
    if (!start) return;
    load("data:image/png;base64," + start, async () => {
      if (!painting) return;
      const image = new Image();
      image.src = "data:image/png;base64," + painting;
      await image.decode();
      const context = mask.getContext("2d");
      context.drawImage(image, 0, 0, MASK, MASK);
      const read = context.getImageData(0, 0, MASK, MASK), { data } = read;
      for (let k = 0; k < data.length; k += 4) {
        data[k + 3] = data[k];
        data[k] = data[k + 1] = data[k + 2] = 255;
      }
      context.putImageData(read, 0, 0);
      painted = true;
      show();
    });
  };

  return { written, given, begin: () => load(pad().dataset.picture) };
})();
