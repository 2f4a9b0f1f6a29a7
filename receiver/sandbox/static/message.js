// Draws one message of the timeline, with what can be answered in it and the answers it has got.

import { drawAll, pairs, undrawable } from "./components.js";
import { element, readable, time } from "./dom.js";
import { form } from "./form.js";
import { markdown } from "./markdown.js";
import { unopenable } from "./opened.js";

/**
 * {node, settle, lock}. `answer(value)` sends the person's answer; `settle(response, by)` shows one that was given;
 * `lock()` ends answering without one.
 */
export function drawMessage(item, { from, answer }) {
  const problem = element("p", { class: "error", role: "alert" });
  const answers = element("div", { class: "answers" });
  const exchange = { controls: [], answer: send };
  const readers = { content: words, components: (value) => drawAll(value, exchange) };

  const body = ["content", "components"].flatMap((name) => {
    const field = item[name];
    if (!field) return [];
    return field.error ? [unopenable(field.error)] : readers[name](field.value);
  });
  if (needsWords(item, exchange)) body.push(reply(exchange));

  function setDisabled(disabled) {
    for (const { fieldset } of exchange.controls) fieldset.disabled = disabled;
  }

  async function send(value) {
    const focused = document.activeElement;
    setDisabled(true);
    problem.textContent = "";
    try {
      await answer(value);
      answers.lastElementChild?.focus();
    } catch (error) {
      problem.textContent = error.message;
      setDisabled(false);
      focused?.focus();
    }
  }

  function settle(response, by) {
    setDisabled(true);
    answers.append(drawAnswer(response, by, exchange.controls));
  }

  const side = item.senderType === "Agent" ? "agent" : "human";
  const head = element("p", { class: "head" }, element("strong", {}, from), " ", time(item.createdAt));
  const node = element("li", { class: `message ${side}` }, element("article", {}, head, body, problem), answers);
  return { node, settle, lock: () => setDisabled(true) };
}

/** How a response reads; `controls` are those of the message it answers. */
export function drawAnswer({ response, createdAt }, by, controls) {
  const head = element("p", { class: "head" }, "Answered by ", element("strong", {}, by), " ", time(createdAt));
  return element("div", { class: "answer", tabindex: -1 }, head, answerBody(response, controls));
}

function answerBody(response, controls) {
  if (response?.error) return unopenable(response.error);
  const drawn = controls.map(({ settle }) => settle(response?.value)).filter((node) => node !== null);
  if (drawn.length > 0) return drawn[0];
  if (typeof response?.value === "string") return words(response.value);
  if (isPlainObject(response?.value)) return pairs(Object.entries(response.value));
  return undrawable("An answer without a known shape", response?.value);
}

/** Whether the agent waits for an answer but offers nothing to click or fill in. */
function needsWords(item, { controls }) {
  const opens = !item.content?.error && !item.components?.error;
  return item.senderType === "Agent" && item.responseRequired && opens && controls.length === 0;
}

function reply(exchange) {
  const question = { id: "answer", label: "Your answer", type: "textarea", required: true };
  const { node, fieldset } = form([question], "Send answer", ({ answer }) => exchange.answer(answer));
  const settle = () => {
    node.hidden = true;
    return null;
  };
  exchange.controls.push({ fieldset, settle });
  return node;
}

function words(value) {
  return element("div", { class: "text" }, markdown(readable(value)));
}

function isPlainObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
