// Draws the small part of Markdown that agents write: paragraphs, headings, lists, code, emphasis, links.
//
// It builds nodes and never markup, so the worst that hostile text can become is text.

import { element } from "./dom.js";

const FENCE = /^```/;
const HEADING = /^(#{1,4}) +(.*)$/;
const BULLET = /^ {0,3}[-*] +(.*)$/;
const NUMBER = /^ {0,3}\d{1,9}[.)] +(.*)$/;
// Code first, so that stars inside it stay stars. Each alternative stops at its own closing mark.
const INLINE = /`([^`\n]+)`|\*\*([^*\n]+)\*\*|\*([^*\s][^*\n]*)\*|\[([^\][\n]+)\]\((https?:\/\/[^\s()]+)\)/g;

/** The nodes of `text`. */
export function markdown(text) {
  const nodes = [];
  const lines = text.split(/\r?\n/);
  for (let at = 0; at < lines.length; ) {
    const take = (matches) => {
      const start = at;
      while (at < lines.length && matches(lines[at])) at += 1;
      return lines.slice(start, at);
    };
    if (FENCE.test(lines[at])) {
      at += 1;
      nodes.push(element("pre", { tabindex: 0 }, element("code", {}, take((line) => !FENCE.test(line)).join("\n"))));
      at += 1;
    } else if (HEADING.test(lines[at])) {
      const [, marks, title] = HEADING.exec(lines[at]);
      // The page's own headings end at level 3.
      nodes.push(element(`h${Math.min(marks.length + 3, 6)}`, {}, inline(title)));
      at += 1;
    } else if (BULLET.test(lines[at])) {
      nodes.push(list("ul", BULLET, take((line) => BULLET.test(line))));
    } else if (NUMBER.test(lines[at])) {
      nodes.push(list("ol", NUMBER, take((line) => NUMBER.test(line))));
    } else if (lines[at].trim() === "") {
      at += 1;
    } else {
      nodes.push(paragraph(take(isPlain)));
    }
  }
  return nodes;
}

function isPlain(line) {
  return line.trim() !== "" && ![FENCE, HEADING, BULLET, NUMBER].some((block) => block.test(line));
}

function paragraph(lines) {
  const parts = lines.flatMap((line, index) => (index === 0 ? inline(line) : [element("br"), ...inline(line)]));
  return element("p", {}, parts);
}

function list(tag, pattern, lines) {
  return element(tag, {}, lines.map((line) => element("li", {}, inline(pattern.exec(line)[1]))));
}

function inline(text) {
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    const [whole, code, strong, emphasis, label, address] = match;
    parts.push(text.slice(end, match.index));
    if (code !== undefined) parts.push(element("code", {}, code));
    else if (strong !== undefined) parts.push(element("strong", {}, strong));
    else if (emphasis !== undefined) parts.push(element("em", {}, emphasis));
    else parts.push(element("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, label));
    end = match.index + whole.length;
  }
  return [...parts, text.slice(end)];
}
