// The page "Updates": what the update service says, looked at again while the page is seen.

import { $, call, made, say } from "/static/goni.js";

const LOOK_S = 4, BUSY_S = 1;
const STAGES = { fetch: "Fetching", unpack: "Unpacking", rebuild: "Putting together", check: "Checking", write: "Writing it beside the running version" };
const EVENTS = { installed: "is installed and proved itself", written: "was written; it starts with the next restart", failed: "failed", "rolled back": "was left" };
const STATES = { good: "good", trial: "still has to prove itself", failed: "failed" };
let now = null, shown = "", away = false;

const hour = (number) => `${String(number).padStart(2, "0")}:00`;
const time = (text) => new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });

function button(words, action, kind = "") {
  return made("button", { type: "button", className: kind, onclick: (event) => {
    event.target.disabled = true;
    action().then(() => look(), (error) => say(error.message)).finally(() => { event.target.disabled = false; });
  } }, words);
}

async function check() {
  say("Looking…");
  const said = await call("POST", "/api/updates/check");
  say(said.offered ? "" : "This is the newest version for this node.");
}

async function install(restart) {
  if (restart && !confirm(`Install ${now.offered} and restart at once? An answer that is being written would be cut.`)) return;
  say("");
  await call("POST", "/api/updates/apply", { version: now.offered, now: restart });
}

async function restart() {
  if (!confirm(`Restart into ${now.pending} at once? An answer that is being written would be cut.`)) return;
  await call("POST", "/api/updates/restart");
  say("The node restarts.");
}

async function back(version) {
  if (!confirm(`Go back to ${version} and restart at once? ${now.version} is then not installed again by itself.`)) return;
  await call("POST", "/api/updates/rollback", { now: true });
  say(`The node restarts into ${version}.`);
}

function stage(progress) {
  const share = progress.total ? ` ${Math.floor(100 * progress.done / progress.total)} %` : "";
  $("stage").textContent = `${STAGES[progress.stage] ?? "Looking"}${share}`;
  if (progress.total) Object.assign($("progress"), { max: progress.total, value: progress.done });
  else $("progress").removeAttribute("value");
}

function buttons() {
  if (now.progress.running) return [];
  if (now.pending) return [button("Restart now", restart, "main")];
  const found = [button("Look for updates", check)];
  if (!now.offered) return found;
  return [button("Install now", () => install(true), "main"), button("Install tonight", () => install(false)), ...found];
}

function slotView(slot) {
  const runs = slot.version === now.version, can = !runs && slot.state !== "failed";
  return made("li", {},
    made("div", { className: "what" }, made("strong", {}, slot.version),
      made("span", { className: slot.state === "failed" ? "bad" : "" }, [runs ? "runs" : "", STATES[slot.state]].filter(Boolean).join(" · "))),
    can && !now.pending ? button(`Go back to ${slot.version}`, () => back(slot.version)) : "");
}

function eventView(event) {
  return made("li", {}, made("div", { className: "what" },
    made("strong", {}, `${event.version} ${EVENTS[event.what] ?? event.what}`),
    event.words ? made("span", { className: event.what === "failed" ? "bad" : "" }, event.words) : "",
    made("span", {}, ` ${time(event.at)}`)));
}

function settings() {
  $("automatic").checked = !now.paused;
  for (const name of ["quiet_from", "quiet_until", "channel"]) $(name).value = now[name];
}

function show(events) {
  $("version").textContent = `Version ${now.version}`;
  $("checked").textContent = now.checked ? `Last look: ${time(now.checked)}` : "";
  $("development").hidden = !now.development;
  $("trouble").textContent = now.progress.error || now.trouble;
  $("offer").hidden = !(now.offered || now.pending);
  $("offered").textContent = now.pending ? `Version ${now.pending} is installed. It starts with the next restart, between ${hour(now.quiet_from)} and ${hour(now.quiet_until)}.` : `Version ${now.offered} can be installed.`;
  $("urgency").textContent = now.urgency;
  $("waits").textContent = now.waits && `Not yet: ${now.waits}.`;
  $("notes").textContent = now.notes;
  $("sticks").textContent = now.sticks.length ? `A stick with releases is plugged in: ${now.sticks.join(", ")}` : "";
  $("buttons").replaceChildren(...buttons());
  $("slots").replaceChildren(...now.slots.map(slotView));
  $("history").replaceChildren(...events.map(eventView));
  if (!events.length) $("history").append(made("li", { className: "quiet" }, "Nothing yet."));
  if (!$("settings").contains(document.activeElement)) settings();
}

async function look() {
  now = await call("GET", "/api/updates");
  const { events } = await call("GET", "/api/updates/history");
  if (away) { away = false; say(""); }
  $("running").hidden = !now.progress.running;
  stage(now.progress);
  // Buttons that are made anew under a finger swallow its click.
  const found = JSON.stringify([now, events], (key, value) => (key === "done" || key === "total" || key === "stage" ? undefined : value));
  if (found === shown) return;
  shown = found;
  show(events);
}

async function watch() {
  for (;;) {
    if (!document.hidden) await look().catch((error) => { away = true; say(error.message); });
    await new Promise((done) => setTimeout(done, (now?.progress.running ? BUSY_S : LOOK_S) * 1000));
  }
}

for (const name of ["quiet_from", "quiet_until"])
  $(name).append(...Array.from({ length: 24 }, (_, number) => made("option", { value: number }, hour(number))));
$("settings").addEventListener("change", () => {
  const wanted = { paused: !$("automatic").checked, channel: $("channel").value, quiet_from: Number($("quiet_from").value), quiet_until: Number($("quiet_until").value) };
  call("PUT", "/api/updates/settings", wanted).then(() => { say("Saved."); return look(); }, (error) => { say(error.message); settings(); });
});
watch();
