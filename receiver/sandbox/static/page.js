// Starts the human's page: keys, feed, the session in the address, and live updates.

import { Client } from "./client.js";
import { Feed } from "./feed.js";
import { Human } from "./human.js";
import { identity, isBrought } from "./identity.js";
import { oneAtATime } from "./once.js";
import { SessionView } from "./session.js";

const find = (id) => document.getElementById(id);

async function start() {
  // WebCrypto exists only on https, localhost and 127.0.0.1.
  if (!globalThis.crypto?.subtle) {
    throw new Error("Open this page under 127.0.0.1 or localhost: elsewhere browsers have no cryptography.");
  }
  const { token, keys } = await identity().catch(explain);
  const client = new Client(token);
  const human = new Human(client, keys);
  const feed = new Feed(find("feed"));
  const view = new SessionView(find("session"), {
    answer: (sessionId, messageId, value) => human.answer(sessionId, messageId, value).then(refresh),
    write: (sessionId, text) => human.write(sessionId, text).then(refresh),
    close: (sessionId) => human.close(sessionId).then(refresh).catch(warn),
    announce: (text) => (find("announcer").textContent = text),
  });

  const refresh = oneAtATime(async () => {
    const sessions = await human.sessions();
    const id = currentSession();
    feed.update(sessions, id);
    const waiting = sessions.filter((session) => session.waiting).length;
    document.title = waiting > 0 ? `(${waiting}) Hiloop sandbox` : "Hiloop sandbox";
    document.body.classList.toggle("reading", id !== null);
    if (id === null) return view.clear("Choose a session to read and answer it.");
    if (!sessions.some((session) => session.id === id)) return view.clear("This session does not exist (any more).");
    const session = await human.session(id);
    if (id === currentSession()) view.update(session);
  });

  window.addEventListener("hashchange", () => (isBrought() ? location.reload() : refresh().catch(warn)));
  client.listen("/human/api/events", {
    async connected() {
      const me = await human.introduce().catch(warn);
      if (!me) return;
      find("name").textContent = me.name;
      find("fingerprint").querySelector("code").textContent = fingerprint(keys[0].keyId);
      find("fingerprint").hidden = false;
      await refresh().then(() => say("connected", "Connected"), warn);
    },
    lost: (why) => say("lost", why),
    happened({ type, sessionId, typing }) {
      if (type === "typing") view.typing(sessionId, typing);
      else refresh().catch(warn);
    },
  });
}

/** The id of the session in the address (#/sessions/…), or null. */
function currentSession() {
  return /^#\/sessions\/([0-9a-f-]+)$/.exec(location.hash)?.[1] ?? null;
}

/** A key id as two people compare it: eight groups of four. */
function fingerprint(keyId) {
  return keyId.match(/.{4}/g).join(" ");
}

function say(state, text) {
  const status = find("connection");
  status.className = state;
  status.textContent = text;
}

function warn(error) {
  say("lost", error.message);
}

function explain(error) {
  if (error.name !== "NotSupportedError") throw error;
  throw new Error("This browser has no X25519. Chrome has it from version 133, Firefox from 130, Safari from 17.");
}

start().catch((error) => {
  find("failure").textContent = error.message;
  find("failure").hidden = false;
});
