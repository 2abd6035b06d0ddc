/* What is shown in the open mode as a file: PNG with caption, figures as CSV, pictures as ZIP. All of it
   is made in the browser from what is there; the pictures' files carry how they were drawn. */
genlab.exports = (() => {
  const LEFT_OUT = ".controls, .go, .press, .axes, .axis, .intro, .chips, .steer, .save, .numbered, " +
    ".modebar, .hoverlayer, .blank, .rung:has(.blank), button, input, select, textarea, dialog, [hidden], .visually-hidden";
  const SCALE = 2; // pixels of the file a pixel of the page
  const MARGIN = 24;

  const shown = element => element.checkVisibility?.({checkOpacity: true, checkVisibilityCSS: true})
    ?? element.getClientRects().length > 0;

  /* The panel of the open mode, or of the open tab. */
  const root = () => {
    const panels = [...document.querySelectorAll("#tabs [role=tabpanel]")].filter(shown);
    return panels.at(-1) ?? document.querySelector("#tabs");
  };

  const all = selector => [...root().querySelectorAll(selector)].filter(shown);

  const text = element => element?.textContent.replace(/\s+/g, " ").trim() ?? "";

  /* What a part of the page is called: the heading in its panel. */
  const title = element => {
    for (let box = element.parentElement; box && box !== root().parentElement; box = box.parentElement) {
      const heading = box.querySelector(".panel-title, h2, h3, h4, .gtitle") ??
        (box.matches(".rung") ? box.querySelector("b") : null);
      if (text(heading)) return text(heading);
    }
    return document.querySelector("#tabs [role=tab][aria-selected=true]")?.textContent.trim() ?? "";
  };

  const status = () => [...new Set(all(".status").map(text).filter(Boolean))].join(" ");

  const caption = () => {
    const [tab, mode] = genlab.place();
    const set = [...new URLSearchParams(genlab.query(true))]
      .filter(([name]) => name !== "tab" && name !== "mode")
      .map(([name, value]) => `${name} ${value || "empty"}`);
    return [`GenLab: ${[tab, mode].filter(Boolean).join(", ")}`,
      set.length ? set.join(", ") : "every setting at its default", status()].filter(Boolean);
  };

  const name = ending => `genlab-${genlab.place().filter(Boolean).join("-")}.${ending}`;

  const save = (blob, file) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  };

  const loaded = source => new Promise((found, failed) => {
    const picture = new Image();
    picture.onload = () => found(picture);
    picture.onerror = failed;
    picture.src = source;
  });

  /* --- PNG: what is seen, painted again ------------------------------------------------------ */

  /* An <svg> with the styles that it has from the page. */
  const drawing = svg => {
    const copy = svg.cloneNode(true), [box, parts] = [svg.getBoundingClientRect(), svg.querySelectorAll("*")];
    copy.querySelectorAll("*").forEach((part, k) => {
      const style = getComputedStyle(parts[k]);
      for (const key of ["fill", "stroke", "stroke-width", "opacity", "font-size", "font-family", "vector-effect"])
        part.style.setProperty(key, style.getPropertyValue(key));
    });
    copy.setAttribute("width", box.width);
    copy.setAttribute("height", box.height);
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    return loaded("data:image/svg+xml," + encodeURIComponent(new XMLSerializer().serializeToString(copy)));
  };

  const words = (context, node, style, [x, y]) => {
    context.font = `${style.fontStyle} ${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    context.fillStyle = style.color;
    context.textBaseline = "middle";
    const range = document.createRange();
    for (const found of node.data.matchAll(/\S+/g)) {
      range.setStart(node, found.index);
      range.setEnd(node, found.index + found[0].length);
      const box = range.getClientRects()[0];
      if (box) context.fillText(found[0], box.left - x, box.top + box.height / 2 - y);
    }
  };

  const paintable = () => {
    const parts = [];
    const walk = element => {
      if (element.matches(LEFT_OUT) || !shown(element)) return;
      parts.push(element);
      if (!element.matches("svg")) [...element.children].forEach(walk);
    };
    walk(root());
    return parts;
  };

  const visible = element => element.matches("img, svg, .step-image, table") ||
    [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());

  const paint = async (context, element, [x, y]) => {
    const [box, style] = [element.getBoundingClientRect(), getComputedStyle(element)];
    const place = [box.left - x, box.top - y, box.width, box.height];
    if (style.backgroundColor !== "rgba(0, 0, 0, 0)") {
      context.fillStyle = style.backgroundColor;
      context.fillRect(...place);
    }
    if (parseFloat(style.borderTopWidth) && style.borderTopStyle !== "none") {
      context.strokeStyle = style.borderTopColor;
      context.lineWidth = parseFloat(style.borderTopWidth);
      context.setLineDash(style.borderTopStyle === "dashed" ? [6, 4] : []);
      context.beginPath();
      if (box.height > 2 * context.lineWidth) context.rect(...place);
      else context.moveTo(place[0], place[1]), context.lineTo(place[0] + box.width, place[1]);
      context.stroke();
    }
    if (element.matches("img") && element.naturalWidth) {
      context.imageSmoothingEnabled = !element.classList.contains("pixels");
      context.drawImage(element, ...place);
    } else if (element.matches("svg")) {
      context.drawImage(await drawing(element), ...place);
    } else if (element.matches(".step-image")) {
      const strip = await loaded(style.backgroundImage.slice(5, -2));
      const frames = Number(style.getPropertyValue("--frames")) || 1;
      const frame = Number(style.getPropertyValue("--frame")) || 0;
      const width = strip.naturalWidth / frames;
      context.imageSmoothingEnabled = !element.classList.contains("pixels");
      context.drawImage(strip, frame * width, 0, width, strip.naturalHeight, ...place);
    }
    for (const node of element.childNodes)
      if (node.nodeType === 3 && node.data.trim()) words(context, node, style, [x, y]);
  };

  const wrapped = (context, line, width) => {
    const lines = [""];
    for (const word of line.split(" ")) {
      const longer = lines.at(-1) ? lines.at(-1) + " " + word : word;
      if (lines.at(-1) && context.measureText(longer).width > width) lines.push(word);
      else lines[lines.length - 1] = longer;
    }
    return lines;
  };

  const png = async () => {
    const parts = paintable();
    const boxes = parts.filter(visible).map(part => part.getBoundingClientRect());
    if (!boxes.length) return "There is nothing to be saved yet.";
    const [left, top] = [Math.min(...boxes.map(b => b.left)), Math.min(...boxes.map(b => b.top))];
    const [right, bottom] = [Math.max(...boxes.map(b => b.right)), Math.max(...boxes.map(b => b.bottom))];
    const width = Math.max(right - left, 360), page = getComputedStyle(document.body);
    const canvas = document.createElement("canvas"), context = canvas.getContext("2d");
    const font = k => `${k ? 400 : 700} ${k ? 14 : 18}px ${page.fontFamily}`;
    const head = caption().flatMap((line, k) => {
      context.font = font(k);
      return wrapped(context, line, width).map(part => [part, k]);
    });
    const above = head.length * 22 + MARGIN;
    canvas.width = (width + 2 * MARGIN) * SCALE;
    canvas.height = (bottom - top + above + 2 * MARGIN) * SCALE;
    context.scale(SCALE, SCALE);
    context.fillStyle = page.backgroundColor;
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = page.color;
    head.forEach(([line, k], row) => {
      context.font = font(k);
      context.fillText(line, MARGIN, MARGIN + 14 + row * 22);
    });
    for (const part of parts) await paint(context, part, [left - MARGIN, top - MARGIN - above]);
    save(await new Promise(done => canvas.toBlob(done, "image/png")), name("png"));
    return "Saved as PNG.";
  };

  /* --- CSV: each figure in a line ------------------------------------------------------------- */

  /* The value that stands at a place of an axis that is bent: what hovering says, or its tick. */
  const meant = (plot, line, x, k) => {
    const {tickvals = [], ticktext = []} = plot.layout?.xaxis ?? {};
    if (typeof line.customdata?.[k] === "number") return line.customdata[k];
    return ticktext[[...tickvals].indexOf(x)] ?? x;
  };

  const rows = () => {
    const found = [];
    for (const tile of all(".tile"))
      found.push([title(tile), text(tile.querySelector("span")), "", text(tile.querySelector("b"))]);
    for (const term of all(".strip dt"))
      found.push([title(term), text(term), "", text(term.nextElementSibling)]);
    for (const bar of all(".strip .plot > div[title]")) {
      const [, x, share] = bar.title.match(/^(.*) (\S+)$/) ?? [];
      const chart = bar.closest("figure").querySelector("figcaption")?.firstChild?.textContent ?? "";
      if (share) found.push([title(bar), chart || "Classes", x, share]);
    }
    for (const row of all(".rung")) for (const part of row.querySelectorAll("p > span"))
      found.push([title(part), "", "", text(part)]);
    for (const table of all("table")) {
      const heads = [...table.querySelectorAll("thead tr")].at(-1)?.querySelectorAll("th") ?? [];
      for (const row of table.querySelectorAll("tbody tr")) [...row.querySelectorAll("td")].forEach((cell, k) =>
        text(cell) && found.push([text(row.querySelector("th")), text(heads[k]), "", text(cell)]));
    }
    for (const plot of all(".js-plotly-plot")) for (const line of plot.data ?? [])
      [...(line.x ?? [])].forEach((x, k) =>
        found.push([title(plot), line.name ?? "", meant(plot, line, x, k), line.y[k]]));
    return found;
  };

  const quoted = value => {
    const plain = String(value ?? "");
    const safe = /^[=+@-]/.test(plain) && Number.isNaN(Number(plain)) ? "'" + plain : plain;
    return /[",\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };

  const table = () => [["panel", "figure", "x", "value"], ...rows()]
    .map(row => row.map(quoted).join(",")).join("\r\n") + "\r\n";

  const csv = () => {
    if (!rows().length) return "There are no figures yet.";
    save(new Blob(["\ufeff", table()], {type: "text/csv"}), name("csv"));
    return "Saved as CSV.";
  };

  /* --- ZIP: the pictures as they are ---------------------------------------------------------- */

  const CRC = Uint32Array.from({length: 256}, (_, n) => {
    for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
    return n;
  });

  const crc = bytes => {
    let sum = ~0;
    for (const byte of bytes) sum = CRC[(sum ^ byte) & 255] ^ (sum >>> 8);
    return ~sum >>> 0;
  };

  const record = (signature, fields) => {
    const bytes = new DataView(new ArrayBuffer(4 + fields.reduce((sum, [size]) => sum + size, 0)));
    bytes.setUint32(0, signature, true);
    let at = 4;
    for (const [size, value] of fields) {
      size === 2 ? bytes.setUint16(at, value, true) : bytes.setUint32(at, value, true);
      at += size;
    }
    return new Uint8Array(bytes.buffer);
  };

  /* An archive of files, [name, bytes] each, without compression: PNGs have theirs. */
  const archive = files => {
    const parts = [], directory = [];
    let offset = 0;
    for (const [file, bytes] of files) {
      const label = new TextEncoder().encode(file);
      const about = [[2, 20], [2, 0x800], [2, 0], [2, 0], [2, 33], [4, crc(bytes)], [4, bytes.length],
        [4, bytes.length], [2, label.length], [2, 0]];
      const header = record(0x04034b50, about);
      directory.push(record(0x02014b50,
        [[2, 20], ...about, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]]), label);
      parts.push(header, label, bytes);
      offset += header.length + label.length + bytes.length;
    }
    const size = directory.reduce((sum, part) => sum + part.length, 0);
    return new Blob([...parts, ...directory, record(0x06054b50,
      [[2, 0], [2, 0], [2, files.length], [2, files.length], [4, size], [4, offset], [2, 0]])],
      {type: "application/zip"});
  };

  const zip = async () => {
    const files = new Map(), encoder = new TextEncoder();
    for (const picture of all("img")) {
      const address = picture.getAttribute("src") ?? "";
      if (!address.startsWith("pictures/")) continue;
      const answer = await fetch(address);
      if (!answer.ok) return await answer.text();
      const own = picture.parentElement.querySelector("a[download]")?.download;
      const label = own ?? `${title(picture).replace(/[^\p{L}\p{N}]+/gu, "-") || "picture"}.png`;
      let file = label;
      for (let k = 2; files.has(file); k++) file = label.replace(/\.png$/, `-${k}.png`);
      files.set(file, new Uint8Array(await answer.arrayBuffer()));
    }
    if (!files.size) return "There are no finished pictures yet.";
    const count = files.size;
    files.set("settings.txt", encoder.encode([...caption(), genlab.link()].join("\n") + "\n"));
    if (rows().length) files.set("figures.csv", encoder.encode("\ufeff" + table()));
    save(archive([...files]), name("zip"));
    return `Saved ${count} ${count === 1 ? "picture" : "pictures"} as ZIP.`;
  };

  return {png, csv, zip};
})();
