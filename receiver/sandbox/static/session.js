// Draws one session: its head, its timeline, and the box to write in.

import { pairs } from "./components.js";
import { element, readable, time } from "./dom.js";
import { markdown } from "./markdown.js";
import { drawAnswer, drawMessage } from "./message.js";
import { oneLine, unopenable } from "./opened.js";
import { writingBox } from "./writing.js";

const NEAR_THE_END_PX = 160;
const TYPING_MS = 10_000;
const OVER = "This session is closed: nothing can be answered any more.";

export class SessionView {
  #root;
  #actions;
  #shown = null;
  #timer = 0;

  /** `actions`: answer(id, messageId, value), write(id, text), close(id), announce(text); `id` is the session's. */
  constructor(root, actions) {
    this.#root = root;
    this.#actions = actions;
  }

  /** Shows `text` instead of a session. */
  clear(text) {
    this.#shown = null;
    this.#root.replaceChildren(element("p", { class: "empty" }, text));
  }

  /** Shows `session`; where it is already shown, adds only what is new, so that nothing half filled in is lost. */
  update(session) {
    const isNew = this.#shown?.id !== session.id;
    if (isNew) this.#frame(session.id);
    const { head, list, foot, hint, drawn } = this.#shown;
    const atTheEnd = isNew || list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_THE_END_PX;
    this.#head(head, session);
    const added = session.items.filter(({ id }) => !drawn.has(id));
    for (const item of added) this.#add(item, session);
    if (added.length > 0) hint.textContent = "";
    foot.hidden = session.status !== "Open";
    if (session.status !== "Open") for (const { lock } of drawn.values()) lock();
    if (isNew) head.querySelector("h2").focus({ preventScroll: true });
    else this.#announce(added, session);
    if (added.length > 0 && atTheEnd) list.lastElementChild.scrollIntoView({ block: "start" });
  }

  /** Shows or takes away that the agent is writing; by itself it goes with the next message, or soon. */
  typing(id, isTyping) {
    if (this.#shown?.id !== id) return;
    const { hint } = this.#shown;
    hint.textContent = isTyping ? "The agent is writing …" : "";
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => (hint.textContent = ""), TYPING_MS);
  }

  #frame(id) {
    const head = element("header", { class: "session-head" });
    const list = element("ol", { class: "timeline", tabindex: 0, "aria-label": "Timeline" });
    const send = (text) => this.#actions.write(id, text);
    const { node } = writingBox({ label: "Write a message", submitLabel: "Send", send });
    const hint = element("p", { class: "meta", role: "status" });
    const foot = element("footer", { class: "session-foot" }, hint, node);
    this.#root.replaceChildren(head, list, foot);
    this.#shown = { id, head, list, foot, hint, drawn: new Map(), state: "" };
  }

  #head(head, session) {
    const { title, description, metadata, status, priority, agentName, createdAt } = session;
    const state = JSON.stringify([title, description, metadata, status, priority]);
    if (state === this.#shown.state) return;
    this.#shown.state = state;
    const mark = element("span", { class: `priority ${priority.toLowerCase()}` }, priority);
    head.replaceChildren(
      element("a", { class: "back", href: "#/" }, "← All sessions"),
      element("h2", { tabindex: -1 }, oneLine(title, "Untitled")),
      element("p", { class: "meta" }, mark, ` · ${agentName} · ${status} · since `, time(createdAt)),
      ...(description ? [described(description)] : []),
      ...(metadata ? [details(metadata)] : []),
      status === "Open" ? this.#closing(session.id) : element("p", { class: "meta" }, OVER),
    );
  }

  #closing(id) {
    const onsubmit = (event) => event.submitter.value === "close" && this.#actions.close(id);
    const dialog = element("dialog", { "aria-label": "Close this session?" },
      element("form", { method: "dialog", onsubmit },
        element("p", {}, "Close this session? The agent is told, and nothing can be answered any more."),
        element("div", { class: "buttons" },
          element("button", { value: "close", class: "danger" }, "Close it"),
          element("button", { value: "keep", class: "secondary" }, "Keep it open"))));
    const onclick = () => dialog.showModal();
    const button = element("button", { type: "button", class: "quiet", onclick }, "Close session");
    return element("div", { class: "closing" }, button, dialog);
  }

  #add(item, session) {
    const { list, drawn } = this.#shown;
    if (item.kind === "message") {
      const answer = (value) => this.#actions.answer(session.id, item.id, value);
      const message = drawMessage(item, { from: nameOf(item, session), answer });
      drawn.set(item.id, message);
      list.append(message.node);
    } else if (drawn.has(item.messageId)) {
      drawn.get(item.messageId).settle(item, nameOf(item, session));
      drawn.set(item.id, { lock() {} });
    } else {
      list.append(element("li", { class: "message human" }, drawAnswer(item, nameOf(item, session), [])));
      drawn.set(item.id, { lock() {} });
    }
  }

  #announce(added, session) {
    for (const item of added) {
      const name = nameOf(item, session);
      this.#actions.announce(item.kind === "message" ? `New message from ${name}` : `${name} answered`);
    }
  }
}

function described({ value, error }) {
  return error ? unopenable(error) : element("div", { class: "text" }, markdown(readable(value)));
}

function details({ value, error }) {
  const isObject = typeof value === "object" && value !== null;
  const entries = isObject ? Object.entries(value) : [["metadata", value]];
  const body = error ? unopenable(error) : pairs(entries);
  return element("details", {}, element("summary", {}, "Details"), body);
}

function nameOf(item, { participants, agentName }) {
  const type = item.senderType ?? item.responderType;
  const id = item.senderId ?? item.senderAgentId ?? item.responderId;
  return participants.find((participant) => participant.id === id)?.name ?? (type === "Agent" ? agentName : type);
}
