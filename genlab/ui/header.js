// Keeps the strip at the top of the page true while it is looked at.
(() => {
  const EVERY = 5000; // milliseconds
  const ask = async () => {
    if (document.hidden || !document.getElementById("queue")) return;
    try {
      const answer = await fetch("./status");
      if (!answer.ok) return;
      for (const [id, text] of Object.entries(await answer.json())) {
        const item = document.getElementById(id);
        if (item && item.dataset.said !== text) item.textContent = item.dataset.said = text;
      }
    } catch { /* the network is gone; the page itself says so */ }
  };
  setInterval(ask, EVERY);
  document.addEventListener("visibilitychange", ask);
})();
