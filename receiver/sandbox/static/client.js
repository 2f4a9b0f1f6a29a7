// Speaks JSON with the sandbox, and listens to what happens there.

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;

/** An answer other than 2xx, or none at all (code `unreachable`). */
export class RequestError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

export class Client {
  #headers;

  /** `token` is a guest's; the sandbox's own human needs none. */
  constructor(token = null) {
    this.#headers = token === null ? {} : { Authorization: `Bearer ${token}` };
  }

  /** Sends one request; the answer's JSON, or null where it has none. Throws RequestError. */
  async request(method, path, body) {
    const answer = await this.#fetch(path, body === undefined ? { method } : { method, body: JSON.stringify(body) });
    return answer.json().catch(() => null);
  }

  /** All items of a paged list. */
  async all(path) {
    const items = [];
    for (let cursor = null; ; ) {
      const page = await this.request("GET", cursor === null ? path : `${path}?cursor=${encodeURIComponent(cursor)}`);
      items.push(...page.items);
      cursor = page.nextCursor;
      if (cursor === null) return items;
    }
  }

  /** Listens to server-sent events for as long as the page is there; opens the stream again whenever it ends. */
  async listen(path, { connected, lost, happened }) {
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      try {
        const { body } = await this.#fetch(path, {});
        pause = FIRST_PAUSE_MS;
        connected();
        for await (const data of events(body)) happened(JSON.parse(data));
        lost("Connection lost, trying again …");
      } catch (error) {
        lost(error.message);
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  async #fetch(path, options) {
    const type = options.body === undefined ? {} : { "Content-Type": "application/json" };
    const headers = { ...this.#headers, ...type };
    const answer = await fetch(path, { ...options, headers }).catch(() => null);
    if (answer === null) throw new RequestError("unreachable", "The sandbox does not answer. Is it still running?");
    if (answer.ok) return answer;
    const { error } = await answer.json().catch(() => ({}));
    const details = (error?.details ?? []).map(({ field, problem }) => ` ${field} ${problem}.`).join("");
    throw new RequestError(error?.code, `${error?.message ?? `The sandbox answered ${answer.status}`}.${details}`);
  }
}

/** The data of each event in a stream. EventSource would do this, but sends no token. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const data = block.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim());
      if (data.length > 0) yield data.join("\n");
    }
  }
}
