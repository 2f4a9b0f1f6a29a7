// Draws the components of a message: one function per type, and the JSON of whatever cannot be drawn.
//
// `exchange` is the message they belong to: `exchange.answer(value)` sends the person's answer, and what can be
// answered adds itself to `exchange.controls` as {fieldset, settle}. `settle(value)` shows that the message has
// been answered and returns how the answer reads, or null where it is not this control's answer.

import { chart } from "./chart.js";
import { element, readable, spoken } from "./dom.js";
import { form } from "./form.js";
import { markdown } from "./markdown.js";
import { tabs } from "./tabs.js";

const MAX_DEPTH = 8;
const VARIANTS = ["primary", "danger", "secondary"];
const DRAWINGS = {
  text,
  button_group: buttonGroup,
  kv,
  metric_grid: metricGrid,
  table,
  chart: drawnChart,
  qa,
  tabs: nested,
};

/** The nodes of a list of components. */
export function drawAll(components, exchange, depth = 0) {
  if (!Array.isArray(components)) return [undrawable("This message's components are not a list", components)];
  return components.map((component) => draw(component, exchange, depth));
}

function draw(component, exchange, depth) {
  const type = component?.type;
  if (!Object.hasOwn(DRAWINGS, type)) return undrawable(`Unknown component “${readable(type)}”`, component);
  if (depth > MAX_DEPTH) return undrawable("Nested too deeply", component);
  try {
    return DRAWINGS[type](component, exchange, depth);
  } catch (error) {
    return undrawable(`“${type}” could not be drawn (${error.message})`, component);
  }
}

/** What is shown in place of something that has no drawing. */
export function undrawable(reason, value) {
  const json = JSON.stringify(value, null, 2) ?? "nothing";
  return element("div", { class: "undrawable" }, element("p", {}, reason), element("pre", { tabindex: 0 }, json));
}

function text({ data }) {
  return element("div", { class: "text" }, markdown(readable(data.content)));
}

function buttonGroup({ data }, exchange) {
  const fieldset = element("fieldset", { class: "buttons" }, element("legend", { class: "spoken" }, "Your answer"));
  const choices = list(data.buttons, "buttons").map(({ label, action, variant }) => {
    const kind = VARIANTS.includes(variant) ? variant : "secondary";
    const onclick = () => exchange.answer(action);
    const button = element("button", { type: "button", class: kind, onclick }, readable(label ?? action));
    fieldset.append(button);
    return { button, label: readable(label ?? action), action };
  });
  exchange.controls.push({
    fieldset,
    settle(value) {
      const chosen = choices.find((choice) => choice.action === value);
      if (!chosen) return null;
      chosen.button.classList.add("chosen");
      chosen.button.append(spoken("(chosen)"));
      return element("strong", {}, chosen.label);
    },
  });
  return fieldset;
}

function kv({ data }) {
  const entries = list(data.entries, "entries");
  return pairs(entries.map(({ key, value }) => [key, value]));
}

/** Names and their values as a description list. */
export function pairs(entries) {
  const rows = entries.map(([name, value]) => {
    return element("div", {}, element("dt", {}, readable(name)), element("dd", {}, readable(value)));
  });
  return element("dl", { class: "kv" }, rows);
}

function metricGrid({ data }) {
  const cells = list(data.metrics, "metrics").map(({ label, value, change }) => {
    const parts = [element("dt", {}, readable(label)), element("dd", {}, readable(value))];
    if (change !== undefined && change !== null) parts.push(drawnChange(readable(change)));
    return element("div", { class: "metric" }, parts);
  });
  return element("dl", { class: "metrics" }, cells);
}

function drawnChange(change) {
  if (/^\s*\+/.test(change)) return element("dd", { class: "change rise" }, spoken("up "), change);
  if (/^\s*[-−–]/.test(change)) return element("dd", { class: "change fall" }, spoken("down "), change);
  return element("dd", { class: "change" }, change);
}

function table({ data }) {
  const headers = list(data.headers ?? [], "headers");
  return drawnTable(headers, list(data.rows, "rows"), readable(data.title ?? "Table"));
}

function drawnTable(headers, rows, name) {
  const width = Math.max(headers.length, ...rows.map((row) => list(row, "row").length));
  const looks = Array.from({ length: width }, (_, column) => {
    const isNumeric = rows.length > 0 && rows.every((row) => looksNumeric(row[column]));
    return { class: isNumeric ? "number" : null };
  });
  const titles = headers.map((header, column) => element("th", { scope: "col", ...looks[column] }, readable(header)));
  const cells = (row) => row.map((value, column) => element("td", looks[column], readable(value)));
  const head = element("thead", {}, element("tr", {}, titles));
  const body = element("tbody", {}, rows.map((row) => element("tr", {}, cells(row))));
  // A wide table scrolls by itself, and the keyboard can reach it to do so.
  const drawn = element("table", { "aria-label": name }, headers.length > 0 && head, body);
  return element("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": name }, drawn);
}

function looksNumeric(value) {
  return typeof value === "number" || /^[-+−$€£¥ ]{0,4}\d[\d.,]* ?[%A-Za-zµ]{0,3}$/.test(readable(value));
}

function drawnChart({ data }) {
  const series = list(data.series, "series");
  const rows = list(data.labels, "labels").map((label, index) => [label, ...series.map(({ values }) => values[index])]);
  const numbers = drawnTable(["", ...series.map(({ name }) => name ?? "Value")], rows, "The chart's numbers");
  return element("div", {}, chart(data), element("details", {}, element("summary", {}, "Numbers"), numbers));
}

function qa({ data }, exchange) {
  const submitLabel = readable(data.submitLabel ?? "Send answers");
  const { node, fieldset, settle } = form(list(data.questions, "questions"), submitLabel, exchange.answer);
  exchange.controls.push({ fieldset, settle: (value) => settle(value, pairs) });
  return node;
}

function nested({ children }, exchange, depth) {
  const parts = list(children, "children").map((child, index) => {
    const isTab = child?.type === "tab";
    const label = readable(child?.data?.label ?? `Tab ${index + 1}`);
    return { label, nodes: drawAll(isTab ? (child.children ?? []) : [child], exchange, depth + 1) };
  });
  return tabs(parts);
}

function list(value, name) {
  if (!Array.isArray(value)) throw new TypeError(`${name} is not a list`);
  return value;
}
