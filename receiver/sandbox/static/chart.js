// Draws a chart as SVG: bar, line, area or pie, at the width it is given.

import { element, readable, svg } from "./dom.js";

const HEIGHT = 220;
const EDGE = { top: 12, right: 12, bottom: 28, left: 52 };
const PALETTE = 6; // .series-0 … .series-5 in the style sheet
const KINDS = ["bar", "line", "area", "pie"];

/** `data` is {type, labels, series: [{name, values}], title?}. Throws TypeError for anything else. */
export function chart({ type, labels, series, title }) {
  if (!KINDS.includes(type)) throw new TypeError(`no chart is called ${readable(type)}`);
  if (!Array.isArray(labels)) throw new TypeError("labels is not a list");
  if (!Array.isArray(series) || series.length === 0) throw new TypeError("series is not a list with something in it");
  for (const { values } of series) {
    const numbers = Array.isArray(values) && values.every((value) => value === null || Number.isFinite(value));
    if (!numbers) throw new TypeError("values are not all numbers");
  }
  const name = `${title ? readable(title) : "Chart"} (${type})`;
  const drawing = svg("svg", { role: "img", "aria-label": name, height: HEIGHT });
  const legend = type === "pie" ? labels : series.map((one) => one.name);
  const draw = type === "pie" ? () => pie(labels, series[0].values) : (width) => plot(type, labels, series, width);
  draw(2 * HEIGHT); // so that impossible data shows now and not at the first layout
  new ResizeObserver(([{ contentRect }]) => {
    if (contentRect.width === 0) return; // in a tab that is not shown
    drawing.setAttribute("viewBox", type === "pie" ? `0 0 ${HEIGHT} ${HEIGHT}` : `0 0 ${contentRect.width} ${HEIGHT}`);
    drawing.replaceChildren(...draw(contentRect.width));
  }).observe(drawing);
  return element("figure", { class: "chart" },
    title && element("figcaption", {}, readable(title)),
    drawing,
    legend.some(Boolean) && element("ul", { class: "legend" }, legend.map((one, index) => {
      return element("li", { class: seriesClass(index) }, readable(one));
    })));
}

function plot(type, labels, series, width) {
  const values = series.flatMap((one) => one.values).filter((value) => value !== null);
  if (values.length === 0) throw new TypeError("there are no values");
  const ticks = scale(values, type !== "line");
  const low = ticks[0];
  const span = ticks.at(-1) - low;
  const right = width - EDGE.right;
  const step = (right - EDGE.left) / Math.max(labels.length, 1);
  const x = (index) => EDGE.left + (index + 0.5) * step;
  const y = (value) => HEIGHT - EDGE.bottom - ((value - low) / span) * (HEIGHT - EDGE.top - EDGE.bottom);
  const draw = type === "bar" ? bars : lines;
  return [
    ...ticks.flatMap((tick) => [
      svg("line", { class: tick === 0 ? "zero" : "grid", x1: EDGE.left, x2: right, y1: y(tick), y2: y(tick) }),
      svg("text", { class: "tick", x: EDGE.left - 8, y: y(tick) + 4, "text-anchor": "end" }, short(tick)),
    ]),
    ...names(labels, step, x),
    ...draw(series, { labels, x, y, step, base: y(Math.max(low, 0)), filled: type === "area" }),
  ];
}

function names(labels, step, x) {
  const shown = labels.map((label) => clip(readable(label)));
  const widest = 7 * Math.max(...shown.map((label) => label.length)) + 8;
  const every = Math.ceil(widest / step);
  return shown.flatMap((label, index) => {
    if (index % every !== 0) return [];
    return [svg("text", { class: "tick", x: x(index), y: HEIGHT - 8, "text-anchor": "middle" }, label)];
  });
}

function bars(series, { labels, x, y, step, base }) {
  const thickness = Math.min((step * 0.72) / series.length, 48);
  return series.flatMap(({ name, values }, which) => values.slice(0, labels.length).flatMap((value, index) => {
    if (value === null) return [];
    const left = x(index) + (which - series.length / 2) * thickness;
    const place = { x: left, y: Math.min(y(value), base), rx: 2 };
    const size = { width: Math.max(thickness - 2, 1), height: Math.abs(y(value) - base) };
    return [svg("rect", { class: `bar ${seriesClass(which)}`, ...place, ...size }, hint(name, labels[index], value))];
  }));
}

function lines(series, { labels, x, y, base, filled }) {
  return series.flatMap(({ name, values }, which) => {
    const look = seriesClass(which);
    return runs(values.slice(0, labels.length)).flatMap((points) => {
      const path = points.map(({ value, index }) => `${x(index)} ${y(value)}`).join(" L ");
      const floor = `M ${x(points[0].index)} ${base} L ${path} L ${x(points.at(-1).index)} ${base} Z`;
      const dots = points.map(({ value, index }) => {
        const place = { cx: x(index), cy: y(value), r: 3 };
        return svg("circle", { class: `dot ${look}`, ...place }, hint(name, labels[index], value));
      });
      const below = filled ? [svg("path", { class: `fill ${look}`, d: floor })] : [];
      return [...below, svg("path", { class: `stroke ${look}`, d: `M ${path}` }), ...dots];
    });
  });
}

/** The values without a gap between them, as lists of {value, index}. */
function runs(values) {
  const found = [[]];
  values.forEach((value, index) => (value === null ? found.push([]) : found.at(-1).push({ value, index })));
  return found.filter((run) => run.length > 0);
}

function pie(labels, values) {
  const total = values.reduce((sum, value) => sum + value, 0);
  if (total <= 0 || values.some((value) => value < 0)) throw new TypeError("a pie needs positive values");
  const middle = HEIGHT / 2;
  const radius = middle - 8;
  const at = (share) => {
    const angle = 2 * Math.PI * share;
    return `${middle + radius * Math.sin(angle)} ${middle - radius * Math.cos(angle)}`;
  };
  let share = 0;
  return values.map((value, index) => {
    const start = share;
    share += value / total;
    const title = hint(`${Math.round((100 * value) / total)} %`, labels[index], value);
    const look = `slice ${seriesClass(index)}`;
    if (value === total) return svg("circle", { class: look, cx: middle, cy: middle, r: radius }, title);
    const large = share - start > 0.5 ? 1 : 0;
    const arc = `A ${radius} ${radius} 0 ${large} 1 ${at(share)}`;
    return svg("path", { class: look, d: `M ${middle} ${middle} L ${at(start)} ${arc} Z` }, title);
  });
}

/** Four to six round numbers that span `values`. */
function scale(values, fromZero) {
  const low = Math.min(...values, ...(fromZero ? [0] : []));
  const high = Math.max(...values, ...(fromZero ? [0] : []));
  const rough = (high - low || Math.abs(high) || 1) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough);
  const first = Math.floor(low / step);
  const last = Math.max(Math.ceil(high / step), first + 1);
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

function short(number) {
  return new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 2 }).format(number);
}

function clip(text) {
  return text.length > 12 ? `${text.slice(0, 11)}…` : text;
}

function hint(name, label, value) {
  return svg("title", {}, [name, label, value].filter((part) => part !== undefined).map(readable).join(" · "));
}

function seriesClass(index) {
  return `series-${index % PALETTE}`;
}
