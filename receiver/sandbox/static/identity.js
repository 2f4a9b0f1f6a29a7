// Who this browser acts as, and with which key pairs: from the address, from storage, or made new.
//
// The sandbox hands over secrets in the fragment, which browsers do not send: #key=… is the human's private key,
// #guest=… a guest's token. They are taken out of the address bar at once. Earlier keys are kept, since content may
// be sealed for them.

import { fromBase64, keyPair, randomBytes, toBase64 } from "./envelope.js";

const KEYS = "hiloop-sandbox-keys";
const GUEST = "hiloop-sandbox-guest";
const FRAGMENT = /^#(key|guest)=(.*)$/;
const KEPT = 8;

/** Whether the address brings a key or a token. */
export function isBrought() {
  return FRAGMENT.test(location.hash);
}

/**
 * {keys, token}: the key pairs, the current one first, and a guest's token or null. Throws an Error that says what to
 * do.
 */
export async function identity() {
  const [, kind, secret] = FRAGMENT.exec(location.hash) ?? [];
  if (kind) history.replaceState(null, "", location.pathname + location.search);
  // A tab that was opened as a guest's stays one; the human's other tabs are not touched by it.
  if (kind === "guest") sessionStorage.setItem(GUEST, secret);
  if (kind === "key") sessionStorage.removeItem(GUEST);
  const token = sessionStorage.getItem(GUEST);
  const keys = keep(token === null ? KEYS : `${KEYS}-${token}`, kind === "key" ? [decoded(secret)] : []);
  return { token, keys: await Promise.all(keys.map((key) => keyPair(fromBase64(key, "the stored key", 32)))) };
}

function keep(place, brought) {
  const stored = JSON.parse(localStorage.getItem(place) ?? "[]");
  const made = brought.length + stored.length === 0 ? [toBase64(randomBytes(32))] : [];
  const keys = [...new Set([...brought, ...made, ...stored])].slice(0, KEPT);
  localStorage.setItem(place, JSON.stringify(keys));
  return keys;
}

function decoded(urlSafe) {
  const standard = urlSafe.replaceAll("-", "+").replaceAll("_", "/").replace(/=+$/, "");
  try {
    return toBase64(fromBase64(standard.padEnd(Math.ceil(standard.length / 4) * 4, "="), "the key", 32));
  } catch {
    const mend = "Copy the whole address from the terminal, or reload this page to go on without it.";
    throw new Error(`The key in the address is damaged. ${mend}`);
  }
}
