// The live page: rows come as server-sent events, the newest on top.
"use strict";

{ // a block of its own: names of other scripts are not in the way
const MOST_ROWS = 200;
const SILENCE_MS = 35_000; // the console says something each 15 s: after this the line is broken, whoever noticed
const AGAIN_MS = 5_000;
const table = document.getElementById("live");
const body = table.tBodies[0];
const state = document.getElementById("live-state");
const pause = document.getElementById("live-pause");
const dropped = document.getElementById("live-dropped");
const away = document.getElementById("live-away");
let waiting = [], paused = false, missed = 0, live = null, stream = null, silence;

function show(rows) {
  const made = document.createElement("template");
  made.innerHTML = rows.reverse().join("");
  for (const one of made.content.querySelectorAll("time")) {
    one.title = new Date(one.dateTime).toLocaleString(undefined, { dateStyle: "full", timeStyle: "long" });
  }
  body.prepend(made.content);
  while (body.rows.length > MOST_ROWS) body.lastElementChild.remove();
  table.hidden = false;
  document.getElementById("live-none").hidden = true;
}

function say() {
  const words = live === null ? "Connecting…" : live ? "Live" : "Kafka does not answer";
  state.textContent = paused ? `Paused, ${waiting.length} waiting` : words;
  state.className = `state ${paused ? "paused" : live ? "active" : live === null ? "" : "failed"}`;
  pause.textContent = paused ? "Go on" : "Pause";
  away.hidden = live !== false;
  dropped.hidden = !missed;
  dropped.textContent = `${missed.toLocaleString("en")} more came than can be shown: filter to see fewer.`;
}

function open() {
  stream?.close();
  stream = new EventSource(table.dataset.stream);
  stream.addEventListener("state", (event) => { heard(); live = JSON.parse(event.data).live; say(); });
  stream.addEventListener("rows", (event) => { heard(); take(JSON.parse(event.data)); });
  stream.addEventListener("over", () => end());
  stream.addEventListener("error", lost);
  heard();
}

function heard() {
  clearTimeout(silence);
  silence = setTimeout(() => { live = null; say(); open(); }, SILENCE_MS);
}

// A broken line the browser mends by itself; an answer that was no stream (a proxy's 502, too many windows) it does not.
async function lost() {
  live = null;
  say();
  if (stream.readyState !== EventSource.CLOSED) return;
  const page = await fetch(location.href, { redirect: "manual" }).catch(() => null);
  if (page?.type === "opaqueredirect") return end();
  setTimeout(open, AGAIN_MS);
}

function take(told) {
  missed += told.dropped;
  if (paused) {
    waiting.push(...told.rows);
    missed += Math.max(waiting.length - MOST_ROWS, 0);
    waiting = waiting.slice(-MOST_ROWS);
  } else show(told.rows);
  say();
}

function end() {
  clearTimeout(silence);
  stream.close();
  state.textContent = "Signed out. Load the page again.";
  state.className = "state failed";
  pause.hidden = true;
}

pause.addEventListener("click", () => {
  paused = !paused;
  if (!paused && waiting.length) show(waiting.splice(0));
  say();
});
addEventListener("pagehide", () => { clearTimeout(silence); stream.close(); });
addEventListener("pageshow", (event) => { if (event.persisted) open(); });
open();
}
