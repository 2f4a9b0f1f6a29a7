// A box to write in: used to answer a message in words and to write in a session.

import { element, freshId } from "./dom.js";

/** {node, fieldset, input}; `send(text)` is awaited and the box emptied after it, or the error shown. */
export function writingBox({ label, submitLabel, send }) {
  const id = freshId("writing");
  const input = element("textarea", { id, rows: 1, placeholder: label, "aria-describedby": `${id}-error` });
  const error = element("p", { class: "error", id: `${id}-error`, role: "alert" });
  const submit = element("button", { type: "submit", class: "primary" }, submitLabel);
  const row = element("div", { class: "row" }, input, submit);
  const fieldset = element("fieldset", {}, element("label", { for: id, class: "spoken" }, label), row, error);

  async function onsubmit(event) {
    event.preventDefault();
    const text = input.value.trim();
    error.textContent = text === "" ? "Please write something first." : "";
    if (text === "") return input.focus();
    fieldset.disabled = true;
    try {
      await send(text);
      input.value = "";
    } catch (reason) {
      error.textContent = reason.message;
    }
    fieldset.disabled = false;
    return input.focus();
  }

  function onkeydown(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) node.requestSubmit();
  }

  const node = element("form", { class: "writing", novalidate: true, onsubmit, onkeydown }, fieldset);
  return { node, fieldset, input };
}
