// Keeps an open page up to date. Everything works without it: what is shown is what the server renders.

const live = document.getElementById("live");
const state = document.getElementById("live-state");
let loading = false;

// Ask for this page again and put its live part in place of the old one. As a document: nothing is parsed here.
function refresh() {
  if (loading || document.hidden || !live) return;
  loading = true;
  const request = new XMLHttpRequest();
  request.open("GET", location.href);
  request.responseType = "document";
  request.timeout = 10_000;
  request.onload = () => {
    const fresh = request.status === 200 && request.response && request.response.getElementById("live");
    if (fresh) replace(fresh);
    say(fresh ? "live" : "away");
  };
  request.onerror = request.ontimeout = () => say("away");
  request.onloadend = () => {
    loading = false;
    if (live.dataset.poll) setTimeout(refresh, Number(live.dataset.poll));
  };
  request.send();
}

function replace(fresh) {
  const focused = live.contains(document.activeElement) ? nameOf(document.activeElement) : null;
  if (String(getSelection()) && live.contains(getSelection().anchorNode)) return; // somebody is copying something
  for (const open of live.querySelectorAll("details[open][id]")) {
    const same = fresh.querySelector(`#${CSS.escape(open.id)}`);
    if (same) same.open = true;
  }
  const scrolled = new Map([...live.querySelectorAll("[data-scroll][id]")].map((box) => [box.id, box.scrollLeft]));
  live.replaceChildren(...[...fresh.childNodes].map((node) => document.adoptNode(node)));
  if (fresh.dataset.poll) live.dataset.poll = fresh.dataset.poll;
  else delete live.dataset.poll;
  for (const [id, left] of scrolled) {
    const box = document.getElementById(id);
    if (box) box.scrollLeft = left;
  }
  if (focused) {
    const again = [...live.querySelectorAll("a, button, summary, [tabindex]")].find((one) => nameOf(one) === focused);
    if (again) again.focus({ preventScroll: true });
  }
}

function nameOf(element) {
  return `${element.tagName} ${element.id} ${element.getAttribute("href")} ${element.textContent}`;
}

function say(what) {
  if (!state) return;
  state.className = `live-state ${what}`;
  state.textContent = what === "live" ? "Live" : "Not live";
}

function count(numbers) {
  for (const badge of document.querySelectorAll("[data-count]")) {
    const number = Number(numbers[badge.dataset.count]);
    badge.textContent = number > 999 ? "999+" : String(number);
    badge.hidden = !number;
  }
}

if (document.body.dataset.live) {
  const source = new EventSource(document.body.dataset.live);
  source.addEventListener("tick", (message) => {
    count(JSON.parse(message.data));
    say("live");
    if (live && live.dataset.follow) refresh();
  });
  source.addEventListener("away", () => say("away"));
  source.onerror = () => say("away");
  addEventListener("pagehide", () => source.close());
}

if (live && live.dataset.poll) setTimeout(refresh, Number(live.dataset.poll));

// Choose all deliveries of a list at once.
for (const all of document.querySelectorAll("input[data-all]")) {
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of all.form.querySelectorAll("input[name=ids]")) box.checked = all.checked;
  });
}
