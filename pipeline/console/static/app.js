// What makes the pages quicker. All of it works without: forms are posted, links are followed.
"use strict";

const PAUSE_MS = 250; // between the last key and the question what would be sent
const COPIED_MS = 1600;
const POLL_MS = 1000;

const address = () => location.pathname + location.search;
let here = address();

// A form marked data-swap is posted here, and the page's main part replaced by the answer's.
async function swap(form, button) {
  const body = new URLSearchParams(new FormData(form));
  if (button && button.name) body.set(button.name, button.value);
  for (const one of form.querySelectorAll("button")) one.disabled = true;
  if (button && button.dataset.busy) button.textContent = button.dataset.busy;
  try {
    const answer = await fetch(form.action, { method: "POST", body, headers: { accept: "text/html" } });
    const there = new URL(answer.url);
    if (there.pathname === "/login") return location.assign("/login");
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.querySelector("main").replaceWith(document.adoptNode(page.querySelector("main")));
    document.title = page.title;
    if (there.href !== location.href) history.pushState(null, "", there.href);
    here = address();
    begin();
    const told = document.querySelector("[role=status], [role=alert]") || document.querySelector("h1");
    told.tabIndex = -1;
    told.focus({ preventScroll: true });
    told.scrollIntoView({ block: "nearest" });
  } catch {
    form.submit(); // the browser itself says what is wrong with the line
  }
}

// A form marked data-preview is asked about as it changes; what it would send is shown in #preview.
let asked = 0;
async function preview(form) {
  const mine = ++asked;
  const answer = await fetch(form.dataset.preview, { method: "POST", body: new URLSearchParams(new FormData(form)) });
  if (!answer.ok || answer.redirected) return;
  const part = new DOMParser().parseFromString(await answer.text(), "text/html").body;
  const shown = document.getElementById("preview");
  if (mine !== asked || !shown) return;
  const focused = shown.contains(document.activeElement) ? document.activeElement.id : "";
  const chosen = shown.querySelector("input[name=preview-as]:checked")?.id;
  const format = form.elements.format.value; // who changes the format wants to see it
  shown.replaceChildren(...part.childNodes);
  const again = document.getElementById(shown.dataset.format === format ? chosen : `as-${format}`);
  if (again) again.checked = true;
  shown.dataset.format = format;
  if (focused) document.getElementById(focused)?.focus();
  reveal(shown);
}

let waiting;
document.addEventListener("input", (event) => {
  const form = event.target.form;
  if (!form || !form.dataset.preview || event.target.name === "preview-as") return;
  clearTimeout(waiting);
  waiting = setTimeout(preview, PAUSE_MS, form);
});

// What only a script can do is hidden in the page.
function reveal(part) {
  for (const one of part.querySelectorAll("[data-script]")) one.hidden = false;
}

function search(field) {
  const rows = [...document.querySelectorAll("[data-text]")];
  const none = document.getElementById("none-found");
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/);
    for (const row of rows) row.hidden = !words.every((word) => row.dataset.text.includes(word));
    if (none) none.hidden = rows.some((row) => !row.hidden);
  });
}

async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent.trim());
  } catch {
    getSelection().selectAllChildren(source); // no clipboard without https: it is selected instead
    if (!document.execCommand("copy")) return;
  }
  const label = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = label; }, COPIED_MS);
}

// A part marked data-poll is asked for again until it no longer is.
async function poll(part) {
  if (document.hidden) return setTimeout(poll, POLL_MS, part);
  const answer = await fetch(part.dataset.poll).catch(() => null);
  if (!part.isConnected || answer?.redirected) return;
  if (answer?.ok) {
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(part.id);
    const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
    part.replaceWith(document.adoptNode(fresh));
    if (focused) document.getElementById(focused)?.focus();
    part = fresh;
  }
  if (part.dataset.poll) setTimeout(poll, POLL_MS, part);
}

function begin() {
  reveal(document);
  for (const one of document.querySelectorAll("time[datetime]")) {
    one.title = new Date(one.dateTime).toLocaleString(undefined, { dateStyle: "full", timeStyle: "long" });
  }
  const field = document.querySelector("main input[type=search]");
  if (field) search(field);
  for (const part of document.querySelectorAll("[data-poll]")) setTimeout(poll, POLL_MS, part);
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!("swap" in form.dataset) || event.submitter?.dataset.whole !== undefined) return;
  event.preventDefault();
  swap(form, event.submitter);
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
  for (const menu of document.querySelectorAll("details[data-menu][open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const menu of document.querySelectorAll("details[data-menu][open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  }
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || event.key === '"') return;
  const there = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (!there) return;
  event.preventDefault();
  if (there.matches("input")) there.focus();
  else there.click();
});

// Back from what was swapped; a step to #main is none.
addEventListener("popstate", () => { if (address() !== here) location.reload(); });
begin();
