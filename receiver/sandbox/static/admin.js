// Starts the admin's page: lists webhooks and deliveries, adds webhooks, and keeps it all up to date.

import { Client } from "./client.js";
import { pairs } from "./components.js";
import { element, time } from "./dom.js";
import { oneAtATime } from "./once.js";
import { drawWebhook } from "./webhook.js";

const API = "/admin/api";
const HEADERS = ["Event", "Status", "Attempts", "Last answer", "Created", "Next try", ""];

const find = (id) => document.getElementById(id);
const client = new Client();
const drawn = { webhooks: "", deliveries: "" };

const refresh = oneAtATime(async () => {
  const [webhooks, deliveries, stats] = await Promise.all([
    client.all(`${API}/webhooks`),
    client.request("GET", `${API}/deliveries?limit=50`),
    client.request("GET", `${API}/deliveries/stats`),
  ]);
  replace("webhooks", webhooks, () => webhooks.map((webhook) => drawWebhook(webhook, act)));
  replace("deliveries", deliveries.items, () => [table(deliveries.items)]);
  const { total, delivered, pending, failed } = stats;
  find("stats").textContent = `${total} in all: ${delivered} delivered, ${pending} pending, ${failed} failed.`;
  find("failure").hidden = true;
});

/** Draws a list anew only if it has changed and nobody is filling in a form in it. */
function replace(name, items, draw) {
  const state = JSON.stringify(items);
  if (state === drawn[name] || find(name).querySelector("form:focus-within")) return;
  drawn[name] = state;
  const focused = document.activeElement?.dataset.key;
  find(name).replaceChildren(...(items.length > 0 ? draw() : [element("p", { class: "empty meta" }, "None yet.")]));
  if (focused) find(name).querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

/** Does something with a webhook or a delivery, and shows what has become of it. */
async function act(method, path, body) {
  await client.request(method, `${API}${path}`, body).then(refresh).catch(fail);
}

function table(deliveries) {
  const head = element("tr", {}, HEADERS.map((header) => element("th", { scope: "col" }, header)));
  const body = element("tbody", {}, deliveries.map(row));
  return element("table", { "aria-labelledby": "deliveries-title" }, element("thead", {}, head), body);
}

function row({ id, eventType, status, attempts, lastStatusCode, lastError, createdAt, nextRetryAt }) {
  const name = { "aria-label": `Retry ${eventType} (${id})`, "data-key": id };
  const onclick = () => act("POST", `/deliveries/${id}/retry`);
  const retry = element("button", { type: "button", class: "quiet", ...name, onclick }, "Retry");
  const cells = [
    eventType,
    element("span", { class: `state ${status.toLowerCase()}` }, status),
    attempts,
    String(lastError ?? lastStatusCode ?? ""),
    time(createdAt),
    nextRetryAt === null ? "" : time(nextRetryAt),
    retry,
  ];
  return element("tr", {}, cells.map((cell, index) => element("td", { class: index === 3 ? "reason" : null }, cell)));
}

async function add(event) {
  event.preventDefault();
  const form = find("new");
  const { url, token, secret, agents, types } = Object.fromEntries(new FormData(form));
  const wanted = { url: url.trim(), scope: { agents: names(agents), eventTypes: names(types) } };
  if (token !== "") wanted.token = token;
  if (secret !== "") wanted.secret = secret;
  find("new-error").textContent = "";
  try {
    const made = await client.request("POST", `${API}/webhooks`, wanted);
    const secrets = pairs([["Bearer token", made.token], ["Signing secret", made.secret]]);
    const intro = element("p", {}, "Added. Give your receiver these two, they are shown only now:");
    find("made").replaceChildren(element("div", { class: "card" }, intro, secrets));
    form.reset();
    await refresh();
  } catch (error) {
    find("new-error").textContent = error.message;
    form.elements.url.focus();
  }
}

function names(text) {
  return text.split(",").map((name) => name.trim()).filter((name) => name !== "");
}

function fail(error) {
  find("failure").textContent = error.message;
  find("failure").hidden = false;
}

find("new").addEventListener("submit", add);
// What was not drawn because somebody was filling in a form.
find("webhooks").addEventListener("focusout", () => refresh().catch(fail));
client.listen(`${API}/events`, {
  connected: () => refresh().catch(fail),
  lost: (why) => fail(new Error(why)),
  happened: () => refresh().catch(fail),
});
