// Draws one webhook with its scope, its faults and what can be done with it.

import { element, freshId } from "./dom.js";

const FAULTS = ["delay", "drop", "duplicate", "reorder", "wrong-signature", "silence"];

/** `act(method, path, body)` sends a request to the admin's API. */
export function drawWebhook(webhook, act) {
  const { id, url, description, enabled, scope, faults } = webhook;
  const path = `/webhooks/${id}`;
  const button = (name, label, onclick) => {
    return element("button", { type: "button", class: "quiet", "data-key": `${id} ${name}`, onclick }, label);
  };
  const actions = [
    button("test", "Send test", () => act("POST", `${path}/test`)),
    button("switch", enabled ? "Disable" : "Enable", () => act("PATCH", path, { enabled: !enabled })),
    button("delete", "Delete", () => act("DELETE", path)),
  ];
  const { spaces, agents, eventTypes } = scope;
  const covers = [part("spaces", spaces), part("agents", agents), part("event types", eventTypes)].join(" · ");
  return element("article", { class: "webhook", "aria-label": url },
    element("h3", {}, url, !enabled && " (disabled)"),
    description && element("p", {}, description),
    element("p", { class: "meta" }, covers),
    faultList(faults, (rest) => act("PUT", `${path}/faults`, { faults: rest })),
    element("div", { class: "buttons" }, actions),
    faultForm(id, (fault) => act("PUT", `${path}/faults`, { faults: [...faults, fault] })));
}

function part(name, list) {
  return list.length === 0 ? `all ${name}` : `${name}: ${list.join(", ")}`;
}

function faultList(faults, save) {
  if (faults.length === 0) return null;
  const items = faults.map(({ kind, times, probability, seconds }) => {
    const count = times === 1 ? "once more" : `${times} more times`;
    const words = [seconds === undefined ? kind : `${kind} of ${seconds} s`, times === null ? "always" : count];
    if (probability < 1) words.push(`at ${Math.round(100 * probability)} %`);
    return element("li", {}, words.join(", "));
  });
  const heal = element("button", { type: "button", class: "quiet", onclick: () => save([]) }, "Heal");
  return element("div", { class: "faults" }, element("ul", { "aria-label": "Faults" }, items), heal);
}

function faultForm(webhookId, save) {
  const id = freshId("fault");
  const summary = element("summary", { "data-key": `${webhookId} faults` }, "Let something go wrong");
  const field = (name, label, input) => {
    input.id = `${id}-${name}`;
    input.name = name;
    return element("p", { class: "field" }, element("label", { for: input.id }, label), input);
  };

  function onsubmit(event) {
    event.preventDefault();
    details.open = false;
    summary.focus();
    const { kind, times, percent, seconds } = Object.fromEntries(new FormData(event.target));
    const count = times === "" ? null : Number(times);
    save({ kind, times: count, probability: Number(percent) / 100, seconds: Number(seconds) });
  }

  const form = element("form", { class: "fault-form", onsubmit }, element("fieldset", {},
    field("kind", "Fault", element("select", {}, FAULTS.map((kind) => element("option", {}, kind)))),
    field("times", "Times (empty: always)", element("input", { type: "number", min: 1, step: 1 })),
    field("percent", "Probability in %", element("input", { type: "number", min: 0, max: 100, value: 100 })),
    field("seconds", "Seconds of delay", element("input", { type: "number", min: 0, step: "any", value: 5 })),
    element("button", { type: "submit", class: "secondary" }, "Add fault")));
  const details = element("details", {}, summary, form);
  return details;
}
