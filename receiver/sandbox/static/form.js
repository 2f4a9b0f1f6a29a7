// Draws a form of questions, checks the answers, and shows them once they are given.
//
// The answer is an object of question id → answer: the option of a radio (null if none), the list of options of a
// checkbox, the text of anything else.

import { element, freshId, readable } from "./dom.js";

/** {node, fieldset, settle} of a list of questions; `send(answers)` is called with answers that are complete. */
export function form(questions, submitLabel, send) {
  const drawn = questions.map(drawQuestion);
  const summary = element("p", { class: "error", role: "alert" });
  const submit = element("button", { type: "submit", class: "primary" }, submitLabel);
  const fieldset = element("fieldset", {}, drawn.map(({ node }) => node), summary, submit);

  function onsubmit(event) {
    event.preventDefault();
    const wrong = drawn.filter((question) => !question.check());
    summary.textContent = complaint(wrong.length);
    if (wrong.length > 0) wrong[0].focus();
    else send(Object.fromEntries(drawn.map(({ id, read }) => [id, read()])));
  }

  const node = element("form", { class: "qa", novalidate: true, onsubmit }, fieldset);
  return {
    node,
    fieldset,
    settle(value, pairs) {
      node.hidden = true;
      if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
      const labels = new Map(drawn.map(({ id, label }) => [id, label]));
      return pairs(Object.entries(value).map(([id, answer]) => [labels.get(id) ?? id, spelled(answer)]));
    },
  };
}

function complaint(count) {
  if (count === 0) return "";
  return count === 1 ? "One question needs another look." : `${count} questions need another look.`;
}

function spelled(answer) {
  if (Array.isArray(answer)) return answer.length > 0 ? answer.map(readable).join(", ") : "none";
  return answer === "" ? "–" : readable(answer);
}

function drawQuestion(question) {
  const options = question.type === "radio" || question.type === "checkbox";
  const drawn = options ? drawOptions(question) : drawWriting(question);
  const { inputs, read, error, node } = drawn;

  // A wrong answer is complained of when it is sent, and the complaint goes as soon as it is mended.
  function check() {
    const message = problem(question, read());
    error.textContent = message;
    for (const input of inputs) input.setAttribute("aria-invalid", String(message !== ""));
    return message === "";
  }

  node.addEventListener("input", () => error.textContent !== "" && check());
  const label = readable(question.label ?? question.id);
  return { id: String(question.id), label, node, read, check, focus: () => inputs[0]?.focus() };
}

function problem({ required, minLength, maxLength, type }, answer) {
  const empty = answer === null || answer.length === 0 || (typeof answer === "string" && answer.trim() === "");
  if (empty) {
    if (!required) return "";
    if (type === "radio") return "Please choose one.";
    return type === "checkbox" ? "Please choose at least one." : "Please fill this in.";
  }
  if (typeof answer !== "string" || type === "radio") return "";
  if (answer.length < minLength) return `Please write at least ${minLength} characters.`;
  if (answer.length > maxLength) return `Please write at most ${maxLength} characters.`;
  return "";
}

function drawOptions({ id, label, type, options, required }) {
  if (!Array.isArray(options)) throw new TypeError("options is not a list");
  const name = freshId("question");
  const error = element("p", { class: "error", id: `${name}-error` });
  const inputs = options.map((option, index) => {
    const value = readable(valueOf(option));
    return element("input", { type, name, id: `${name}-${index}`, value, "aria-describedby": error.id });
  });
  const rows = inputs.map((input, index) => {
    const words = readable(options[index]?.label ?? input.value);
    return element("label", { class: "option", for: input.id }, input, element("span", {}, words));
  });
  const chosen = () => options.filter((_, index) => inputs[index].checked).map(valueOf);
  const legend = element("legend", {}, readable(label ?? id), required && mark());
  const group = { class: "question", role: type === "radio" ? "radiogroup" : "group", "aria-describedby": error.id };
  const node = element("fieldset", group, legend, element("div", { class: "options" }, rows), error);
  if (required && type === "radio") node.setAttribute("aria-required", "true");
  return { node, inputs, error, read: () => (type === "radio" ? (chosen()[0] ?? null) : chosen()) };
}

/** An option is a string or, where label and value differ, an object. */
function valueOf(option) {
  return option?.value ?? option?.label ?? option;
}

function drawWriting({ id, label, type, required, placeholder }) {
  const name = freshId("question");
  const error = element("p", { class: "error", id: `${name}-error` });
  const attributes = { id: name, placeholder, "aria-describedby": error.id, "aria-required": required ? "true" : null };
  const input = type === "textarea"
    ? element("textarea", { ...attributes, rows: 4 })
    : element("input", { ...attributes, type: "text", autocomplete: "off" });
  const title = element("label", { for: name }, readable(label ?? id), required && mark());
  const node = element("div", { class: "question" }, title, input, error);
  return { node, inputs: [input], error, read: () => input.value };
}

function mark() {
  return element("span", { class: "required" }, " (required)");
}
