// The live page: rows come as server-sent events, the newest on top.
"use strict";

{ // a block of its own: names of other scripts are not in the way
const MOST_ROWS = 200;
const table = document.getElementById("live");
const body = table.tBodies[0];
const state = document.getElementById("live-state");
const pause = document.getElementById("live-pause");
const dropped = document.getElementById("live-dropped");
let waiting = [], paused = false, missed = 0, live = null;

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
  dropped.hidden = !missed;
  dropped.textContent = `${missed.toLocaleString("en")} more came than can be shown: filter to see fewer.`;
}

const stream = new EventSource(table.dataset.stream);
stream.addEventListener("state", (event) => { live = JSON.parse(event.data).live; say(); });
stream.addEventListener("rows", (event) => {
  const told = JSON.parse(event.data);
  missed += told.dropped;
  if (paused) {
    waiting.push(...told.rows);
    missed += Math.max(waiting.length - MOST_ROWS, 0);
    waiting = waiting.slice(-MOST_ROWS);
  } else show(told.rows);
  say();
});
stream.addEventListener("over", () => end("Signed out, or the console stops."));
stream.addEventListener("error", () => {
  if (stream.readyState === EventSource.CLOSED) return end("Not live: signed out, or too many windows watch.");
  live = null;
  say();
});

function end(words) {
  stream.close();
  state.textContent = `${words} Load the page again.`;
  state.className = "state failed";
  pause.hidden = true;
}

pause.addEventListener("click", () => {
  paused = !paused;
  if (!paused && waiting.length) show(waiting.splice(0));
  say();
});
addEventListener("pagehide", () => stream.close());
}
