// Builds DOM nodes. Whatever comes from outside becomes a text node or an attribute's value, never markup.

const SVG = "http://www.w3.org/2000/svg";
let lastId = 0;

/** An HTML element. `on…` attributes are listeners, `true` and `false` make boolean attributes. */
export function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** An id that no other element of this page has. */
export function freshId(prefix) {
  lastId += 1;
  return `${prefix}-${lastId}`;
}

/** Any JSON value as people read it. */
export function readable(value) {
  if (value === null || value === undefined) return "–";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** Text for screen readers only. */
export function spoken(text) {
  return element("span", { class: "spoken" }, text);
}

/** A point in time, short: the clock today, the date before. */
export function time(iso) {
  const moment = new Date(iso);
  if (Number.isNaN(moment.getTime())) return element("span", {}, readable(iso));
  const today = moment.toDateString() === new Date().toDateString();
  const format = today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" };
  const text = new Intl.DateTimeFormat(undefined, format).format(moment);
  return element("time", { datetime: moment.toISOString(), title: moment.toLocaleString() }, text);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}
