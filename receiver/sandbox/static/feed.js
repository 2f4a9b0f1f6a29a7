// Draws the feed: open sessions under their priority, the closed ones below.

import { element, time } from "./dom.js";
import { oneLine } from "./opened.js";

const GROUPS = ["Critical", "High", "Normal", "Low"];
const SHOWN = ["id", "status", "priority", "waiting", "updatedAt", "title", "value", "error"];

export class Feed {
  #root;
  #drawn = "";

  constructor(root) {
    this.#root = root;
  }

  /** Draws `sessions`, which come in order, and marks the one with the id `current`. */
  update(sessions, current) {
    // Drawn anew only where something changed, so that no click or focus falls between two drawings.
    const state = JSON.stringify([current, sessions], SHOWN);
    if (state === this.#drawn) return;
    this.#drawn = state;
    const focused = document.activeElement?.dataset.session;
    const open = sessions.filter(({ status }) => status === "Open");
    const groups = GROUPS.map((priority) => [priority, open.filter((session) => session.priority === priority)]);
    groups.push(["Closed", sessions.filter(({ status }) => status !== "Open")]);
    const filled = groups.filter(([, members]) => members.length > 0);
    this.#root.replaceChildren(...filled.map(([name, members]) => group(name, members, current)));
    if (sessions.length === 0) this.#root.append(nothing());
    if (focused) this.#root.querySelector(`[data-session="${CSS.escape(focused)}"]`)?.focus();
  }
}

function group(name, sessions, current) {
  const heading = element("h3", { class: `priority ${name.toLowerCase()}` }, name);
  const list = element("ul", {}, sessions.map((session) => entry(session, current)));
  return element("section", { "aria-label": name }, heading, list);
}

function entry(session, current) {
  const link = {
    href: `#/sessions/${session.id}`,
    "data-session": session.id,
    "aria-current": session.id === current ? "page" : null,
  };
  const title = element("span", { class: "title" }, oneLine(session.title, "Untitled"));
  const meta = element("span", { class: "meta" }, session.agentName, " · ", time(session.updatedAt));
  const waiting = session.waiting && element("span", { class: "waiting" }, "Waiting for you");
  return element("li", {}, element("a", link, title, meta, waiting));
}

function nothing() {
  return element("p", { class: "empty" }, "No sessions yet. As soon as an agent asks something, it appears here.");
}
