// Tabs after the ARIA pattern: arrow keys, Home and End move between them, Tab goes on into the panel.

import { element, freshId } from "./dom.js";

const STEPS = { ArrowRight: 1, ArrowLeft: -1 };

/** `parts` is a list of {label, nodes}. */
export function tabs(parts) {
  const group = freshId("tabs");
  const buttons = parts.map(({ label }, index) => {
    const ids = { id: `${group}-tab-${index}`, "aria-controls": `${group}-panel-${index}` };
    return element("button", { type: "button", role: "tab", ...ids, onclick: () => select(index) }, label);
  });
  const panels = parts.map(({ nodes }, index) => {
    const ids = { id: `${group}-panel-${index}`, "aria-labelledby": `${group}-tab-${index}` };
    return element("div", { role: "tabpanel", tabindex: 0, ...ids }, nodes);
  });

  function select(chosen) {
    buttons.forEach((button, index) => {
      button.setAttribute("aria-selected", String(index === chosen));
      button.tabIndex = index === chosen ? 0 : -1;
      panels[index].hidden = index !== chosen;
    });
  }

  function move(event) {
    const current = buttons.indexOf(event.target);
    const last = buttons.length - 1;
    let next = null;
    if (event.key in STEPS) next = (current + STEPS[event.key] + buttons.length) % buttons.length;
    else if (event.key === "Home") next = 0;
    else if (event.key === "End") next = last;
    else return;
    event.preventDefault();
    select(next);
    buttons[next].focus();
  }

  select(0);
  return element("div", { class: "tabs" }, element("div", { role: "tablist", onkeydown: move }, buttons), panels);
}
