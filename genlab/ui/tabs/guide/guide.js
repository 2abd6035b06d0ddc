// The guide in the browser: which question is shown, what was predicted, run and revealed. Kept in
// localStorage; the server is not asked. Runs once a page, when the list of questions is there.
const KEY = "genlab-guide";
const empty = () => ({step: "", choices: {}, ran: {}, revealed: {}, from: null});
const load = () => {
    try {
        return Object.assign(empty(), JSON.parse(localStorage.getItem(KEY) ?? "{}"));
    } catch {
        return empty();  // nothing kept, or a browser that keeps nothing
    }
};
const state = load();
const save = () => {
    try {
        localStorage.setItem(KEY, JSON.stringify(state));
    } catch {
        // the guide works without
    }
};
const guide = () => document.getElementById("guide");
const steps = () => [...element.querySelectorAll("[data-go]")].map(button => button.dataset.go);
const column = key => document.getElementById(`guide-${key}`);
const words = () => element.querySelector("[data-words]").dataset;

// Writes only what is new: the observer below watches for what is put in, and what is written here
// may have been translated since.
const written = new WeakMap();
const write = (place, text) => {
    if (!place || (written.get(place) ?? "") === text) return;
    written.set(place, text);
    place.textContent = text;
};

const show = key => {
    const button = element.querySelector(`[data-go="${key}"]`);
    const here = key === state.step;
    const revealed = key in state.revealed;
    if (here) button.setAttribute("aria-current", "step");
    else button.removeAttribute("aria-current");
    button.toggleAttribute("data-done", revealed);
    write(button.querySelector("[data-state]"), revealed ? `, ${words().done}` : "");
    const place = column(key);
    if (!place) return;
    place.toggleAttribute("data-here", here);
    place.toggleAttribute("data-revealed", revealed);
    place.toggleAttribute("data-ran", key in state.ran);
    const asking = place.querySelector("[data-right]");
    if (!asking) return;
    const chosen = String(state.choices[key]);
    let picked = "";
    for (const radio of asking.querySelectorAll("input[type=radio]")) {
        const label = radio.closest("label");
        const right = radio.value === asking.dataset.right;
        radio.checked = radio.value === chosen;
        radio.disabled = revealed;
        if (radio.checked) picked = label.querySelector("span").textContent;
        label.toggleAttribute("data-true", revealed && right);
        const note = !revealed ? "" : right ? words().right : radio.checked ? words().yours : "";
        write(label.querySelector("small"), note);
    }
    asking.querySelector("[data-reveal]").hidden = revealed;
    const verdict = chosen === asking.dataset.right ? words().agreed
        : words().differed.replace("{choice}", picked);
    write(asking.querySelector("[data-verdict]"), revealed ? verdict : "");
};

const apply = () => {
    const keys = steps();
    if (!keys.includes(state.step)) state.step = keys[0];
    keys.forEach(show);
    const done = keys.filter(key => key in state.revealed).length;
    const tally = words().progress.replace("{done}", done).replace("{all}", keys.length);
    write(element.querySelector("[data-tally]"), tally);
    element.querySelector(".bar i").style.width = `${100 * done / keys.length}%`;
    // What may have to be scrolled sideways on a phone can be reached by keyboard.
    for (const wide of guide().querySelectorAll(".katex-display")) wide.tabIndex = 0;
    element.querySelector("[data-forget]").hidden =
        !Object.keys({...state.choices, ...state.ran, ...state.revealed}).length;
};

const keep = () => {
    save();
    apply();
};

const go = key => {
    state.step = key;
    keep();
    history.replaceState(history.state, "", `${location.pathname}${location.search}#guide-${key}`);
    column(key)?.querySelector("h2").focus({preventScroll: true});
    guide().scrollIntoView({block: "start"});
};

const openGuide = () => document.querySelector('#tabs [role=tab][data-tab-id="lab-guide"]')?.click();

const closeBar = () => document.getElementById("guide-return")?.remove();

// The guide is there again some moments after its tab was pressed.
const comeBack = (key, since = Date.now()) => {
    closeBar();
    openGuide();
    state.step = key;
    keep();
    const settle = () => {
        const place = column(key);
        if (!place?.offsetParent) {
            if (Date.now() - since < 5000) requestAnimationFrame(settle);
            return;
        }
        window.scrollTo(0, state.from ?? 0);
        (place.querySelector("[data-reveal]:not([hidden])") ?? place.querySelector("h2"))
            .focus({preventScroll: true});
    };
    settle();
};

const bar = (key, k) => {
    closeBar();
    const made = document.createElement("nav");
    made.id = "guide-return";
    made.setAttribute("aria-label", words().back);
    const look = column(key).querySelector("[data-look]");
    const back = document.createElement("button");
    back.type = "button";
    back.textContent = `← ${words().back}`;
    back.onclick = () => comeBack(key);
    const text = document.createElement("p");
    text.textContent = k === 0 && look ? look.textContent : "";
    made.append(back, text);
    guide().closest("main").append(made);
};

const run = (key, k) => {
    const button = column(key).querySelector(`[data-run="${k}"]`);
    state.from = window.scrollY;
    state.ran[key] = 1;
    keep();
    bar(key, k);
    window.scrollTo(0, 0);
    window.genlab.go(button.dataset.query);
};

const pressed = target => {
    const place = target.closest(".guide-step");
    const key = place?.id.replace("guide-", "");
    if (target.dataset.go) go(target.dataset.go);
    else if ("forget" in target.dataset) {
        Object.assign(state, empty(), {step: state.step});
        keep();
    } else if ("run" in target.dataset) run(key, Number(target.dataset.run));
    else if ("reveal" in target.dataset) {
        if (key in state.choices) {
            state.revealed[key] = 1;
            keep();
            place.querySelector(".guide-answer")?.scrollIntoView({block: "nearest"});
        } else {
            write(place.querySelector("[data-note]"), words().first);
            place.querySelector("input[type=radio]").focus();
        }
    }
};

guide().addEventListener("click", event => {
    const target = event.target.closest("button");
    if (target) pressed(target);
});
guide().addEventListener("change", event => {
    const place = event.target.closest(".guide-step");
    if (!place || event.target.type !== "radio") return;
    state.choices[place.id.replace("guide-", "")] = event.target.value;
    write(place.querySelector("[data-note]"), "");
    keep();
});
// The questions are put in one after another, and anew when the tab is opened again.
new MutationObserver(apply).observe(guide(), {childList: true, subtree: true});
const named = location.hash.replace("#guide-", "");  // a link to one question
if (steps().includes(named)) state.step = named;
apply();
