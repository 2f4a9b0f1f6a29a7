// What the human can do: read sessions, answer, write, close. Everything is opened and sealed here, in the browser.

import { fromBase64, open, seal, toBase64 } from "./envelope.js";

const API = "/human/api";

export class Human {
  #client;
  #keys;

  /** `keys` are the human's key pairs, the current one first. */
  constructor(client, keys) {
    this.#client = client;
    this.#keys = keys;
  }

  /** Who we are; makes our current key known where it is not. */
  async introduce() {
    const me = await this.#client.request("GET", `${API}/me`);
    const current = this.#keys[0];
    if (!me.keys.some(({ keyId }) => keyId === current.keyId)) {
      await this.#client.request("PUT", `${API}/keys`, { publicKey: toBase64(current.publicKey) });
    }
    return me;
  }

  async sessions() {
    const sessions = await this.#client.all(`${API}/sessions`);
    return Promise.all(sessions.map((session) => this.#opened(session, session.id)));
  }

  /** One session with its participants and its timeline. */
  async session(id) {
    const path = `${API}/sessions/${id}`;
    const [session, participants, timeline] = await Promise.all([
      this.#client.request("GET", path),
      this.#client.all(`${path}/participants`),
      this.#client.all(`${path}/timeline`),
    ]);
    const items = await Promise.all(timeline.map((item) => this.#opened(item, id)));
    return { ...(await this.#opened(session, id)), participants, items };
  }

  /** Answers a message of an agent with a button's action, a form's answers, or words. */
  answer(sessionId, messageId, value) {
    return this.#send(sessionId, "responses", "encryptedResponse", value, { messageId });
  }

  write(sessionId, text) {
    return this.#send(sessionId, "messages", "encryptedContent", text, {});
  }

  close(sessionId) {
    return this.#client.request("POST", `${API}/sessions/${sessionId}/close`);
  }

  async #send(sessionId, kind, field, value, rest) {
    const path = `${API}/sessions/${sessionId}`;
    for (let retried = false; ; retried = true) {
      const recipients = await this.#recipients(path);
      const envelope = await seal(value, { sender: this.#keys[0], recipients, sessionId, field });
      try {
        return await this.#client.request("POST", `${path}/${kind}`, { ...rest, [field]: envelope });
      } catch (error) {
        // Somebody's key came in between: seal for it too, once.
        if (error.code !== "keys_changed" || retried) throw error;
      }
    }
  }

  /** The public keys of everybody in the session, and our own. */
  async #recipients(path) {
    const participants = await this.#client.all(`${path}/participants`);
    const known = participants.flatMap(({ keys }) => keys);
    const own = { keyId: this.#keys[0].keyId, publicKey: toBase64(this.#keys[0].publicKey) };
    const byId = new Map([...known, own].map(({ keyId, publicKey }) => [keyId, publicKey]));
    return Array.from(byId.values(), (key) => fromBase64(key, "a participant's key", 32));
  }

  /** Each `encryptedFoo` that is there becomes `foo`: {value} or, where it does not open, {error}. */
  async #opened(object, sessionId) {
    const opened = { ...object };
    for (const [field, envelope] of Object.entries(object)) {
      if (!/^encrypted[A-Z]/.test(field) || envelope === null) continue;
      const name = field.charAt(9).toLowerCase() + field.slice(10);
      opened[name] = await open(envelope, { keys: this.#keys, sessionId, field }).catch((error) => ({ error }));
    }
    return opened;
  }
}
