// Says in words why a field does not open.

import { element } from "./dom.js";

const REASONS = {
  unknown_key: "It was sealed before this browser's key was known, or for other people only.",
  bad_envelope: "It has not the shape of a sealed field.",
  bad_ciphertext: "It was changed on its way, or belongs to another place.",
};

/** What is shown in place of a field that does not open. */
export function unopenable({ name, message }) {
  const reason = REASONS[name] ?? message;
  return element("p", { class: "unopenable" }, "Cannot be opened: ", reason, " ", element("code", {}, name));
}

/** An opened field as one line of text. */
export function oneLine(field, otherwise) {
  if (!field) return otherwise;
  if (field.error) return `Cannot be opened (${field.error.name})`;
  return typeof field.value === "string" && field.value.trim() !== "" ? field.value : otherwise;
}
