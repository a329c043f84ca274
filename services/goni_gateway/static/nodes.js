// The page "Nodes": who belongs to the household and how they are; for an owner also letting nodes
// in and removing them. Looks again every few seconds while the page is seen.

import { $, call, made, row, say } from "/static/goni.js";

const LOOK_S = 3;
const owner = document.body.dataset.role === "owner";
let shown = ""; // what the lists were made of: a list that is made anew under a finger swallows its click
let leaving = null; // the node that is about to be removed

// Roughly: a list that changes every second can not be read.
function ago(seconds) {
  if (seconds < 0) return "never seen from here";
  if (seconds < 120) return `last seen ${Math.round(seconds)} seconds ago`;
  if (seconds < 7200) return `last seen ${Math.round(seconds / 60)} minutes ago`;
  return `last seen ${Math.round(seconds / 3600)} hours ago`;
}

function details(node) {
  const state = node.own ? "this node" : node.here ? "here" : ago(node.seen);
  return [state, node.version ? `version ${node.version}` : ""].filter(Boolean).join(" · ");
}

function view(node) {
  const end = owner && !node.own ? made("button", { type: "button", className: "plain", ariaLabel: `Remove: ${node.name}`,
    onclick: () => ask(node) }, "Remove") : null;
  return row(node.name, details(node), node.here ? "" : node.words, end);
}

function ask(node) {
  leaving = node;
  $("removing-title").textContent = `Remove ${node.name}?`;
  $("remove").reset();
  $("remove").querySelector(".error").textContent = "";
  $("removing").showModal();
}

function aboutOf({ state, household, words }) {
  if (state === "member" && words) return `The household “${household}”. Words of this node's last pairing: ${words}.`;
  if (state === "member") return `The household “${household}”.`;
  return state === "removed" ? "This node was removed from its household." : "This node belongs to no household.";
}

function chosen(waiting) {
  const before = $("near").value;
  $("near").replaceChildren(...waiting.map(({ id, address }) => made("option", { value: address }, `${id.slice(0, 8)} at ${address}`)),
    made("option", { value: "" }, waiting.length ? "another, by its address" : "none has appeared yet: by its address"));
  if ([...$("near").options].some((one) => one.value === before && before)) $("near").value = before;
  addressed();
}

function addressed() {
  const other = !$("near").value;
  $("address").hidden = $("address").labels[0].hidden = !other;
  $("address").required = other;
}

async function look() {
  const all = await call("GET", "/api/nodes");
  for (const node of all.nodes) node.seen = node.here ? 0 : node.seen < 0 ? -1 : Math.round(node.seen / 10) * 10;
  const found = JSON.stringify(all);
  if (found === shown) return;
  shown = found;
  $("about").textContent = aboutOf(all);
  const focus = document.activeElement?.ariaLabel;
  $("list").replaceChildren(...all.nodes.map(view));
  if (focus) [...$("list").querySelectorAll("button")].find((one) => one.ariaLabel === focus)?.focus();
  $("trust").hidden = !all.fingerprint;
  $("fingerprint").textContent = all.fingerprint;
  $("trust-link").href = `http://${location.hostname}/`;
  if (!owner) return;
  $("begin").hidden = $("wait").hidden = all.state !== "alone";
  $("leave").hidden = all.state !== "removed";
  $("offer").textContent = all.offer?.pin ? `${all.offer.pin.slice(0, 3)} ${all.offer.pin.slice(3)}` : "";
  $("show-pin").hidden = Boolean(all.offer?.pin);
  $("more").hidden = all.state !== "member";
  $("inviting").hidden = !all.inviting;
  if (!all.inviting) $("code").hidden = true;
  chosen(all.waiting);
}

// A form whose button waits for its work, and which says why it failed.
function working(form, work) {
  form.onsubmit = async (event) => {
    event.preventDefault();
    const error = form.querySelector(".error"), button = form.querySelector("[type=submit]");
    error.textContent = "";
    button.disabled = true;
    try {
      await work();
      form.reset();
      shown = "";
      await look();
    } catch (failure) { error.textContent = failure.message; } finally { button.disabled = false; }
  };
}

function ownersPart() {
  $("near").onchange = addressed;
  working($("add"), async () => {
    const name = $("name").value, address = $("near").value || $("address").value.trim();
    say(`Talking to ${name}…`);
    try {
      const { words } = await call("POST", "/api/nodes", { address, pin: $("pin").value, name, password: $("password").value });
      $("joined-name").textContent = `${name} has joined.`;
      $("words").textContent = words;
      $("joined").hidden = false;
      say(`${name} has joined.`);
    } catch (error) { say(""); throw error; }
  });
  working($("invite"), async () => {
    const short = $("kind").value === "short";
    const { code } = await call("POST", "/api/nodes/invitation", { name: $("invited").value, password: $("invite-password").value, short });
    $("code-shown").textContent = short ? `${code.slice(0, 3)} ${code.slice(3)}` : code;
    $("code").hidden = false;
  });
  working($("begin"), async () => {
    const body = { name: $("household").value, node_name: document.querySelector(".brand span").textContent, password: $("begin-password").value };
    const { recovery } = await call("POST", "/api/household", body);
    $("recovery-key").textContent = recovery;
    $("recovery").hidden = false;
  });
  $("show-pin").onclick = () => call("POST", "/api/household/offer").then(() => look(), (error) => say(error.message));
  working($("join"), async () => {
    const { words } = await call("POST", "/api/household/join", { address: $("join-address").value.trim(), code: $("join-code").value });
    $("joined-name").textContent = "This node has joined.";
    $("words").textContent = words;
    $("joined").hidden = false;
  });
  working($("leave"), () => call("POST", "/api/household/leave", { name: $("left").value }));
  working($("remove"), async () => {
    const { id, name } = leaving;
    await call("POST", `/api/nodes/${id}/remove`, { name, password: $("remove-password").value });
    $("removing").close();
    $("joined").hidden = true;
    say(`${name} is removed.`);
  });
  $("keep").onclick = () => $("removing").close();
  $("withdraw").onclick = () => call("DELETE", "/api/nodes/invitation").then(() => look(), (error) => say(error.message));
}

async function watch() {
  for (;;) {
    if (!document.hidden) await look().catch((error) => say(error.message));
    await new Promise((done) => setTimeout(done, LOOK_S * 1000));
  }
}

if (owner) ownersPart();
watch();
