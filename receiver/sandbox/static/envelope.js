// Seals and opens encrypted fields (profile v1) with WebCrypto: X25519, HKDF-SHA256, AES-256-GCM.
//
// It is written from the wire contract, not from the Python module, and each must open what the other sealed.
// Errors have three names, the same as on the agent's side: unknown_key, bad_envelope, bad_ciphertext.

const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const SALT_BYTES = 32;
const MAX_WRAPPINGS = 1024;
// What stands before the 32 bytes of an X25519 private key in PKCS #8 (RFC 8410); WebCrypto takes no bare ones.
const PKCS8_PREFIX = Uint8Array.of(48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 110, 4, 34, 4, 32);
const BASE_POINT = new Uint8Array(KEY_BYTES).fill(9, 0, 1);
const utf8 = new TextEncoder();

/** Why a field does not open: `name` is unknown_key, bad_envelope or bad_ciphertext. */
export class EnvelopeError extends Error {
  constructor(name, message) {
    super(message);
    this.name = name;
  }
}

/** The pair of a 32-byte private key: {privateKey, publicKey, keyId}. */
export async function keyPair(privateBytes) {
  if (privateBytes.length !== KEY_BYTES) throw new RangeError("a private key has 32 bytes");
  const pkcs8 = concat(PKCS8_PREFIX, privateBytes);
  const privateKey = await crypto.subtle.importKey("pkcs8", pkcs8, "X25519", false, ["deriveBits"]);
  const publicKey = await x25519(privateKey, BASE_POINT);
  return { privateKey, publicKey, keyId: await keyIdOf(publicKey) };
}

/** The id of a public key: the first 32 hex characters of its SHA-256. */
async function keyIdOf(publicKey) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", publicKey));
  return Array.from(digest.subarray(0, 16), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Encrypts `value` as JSON, once for all `recipients` (their 32-byte public keys). */
export async function seal(value, { sender, recipients, sessionId, field }) {
  const additionalData = associatedData(sessionId, field);
  const contentKey = randomBytes(KEY_BYTES);
  const nonce = randomBytes(NONCE_BYTES);
  const plaintext = utf8.encode(JSON.stringify(value));
  const ciphertext = concat(nonce, await encrypt(plaintext, contentKey, nonce, additionalData));
  const wrappings = [];
  for (const publicKey of recipients) {
    const recipientKeyId = await keyIdOf(publicKey);
    const salt = randomBytes(SALT_BYTES);
    const secret = await sharedSecret(sender.privateKey, publicKey);
    const { key, iv } = await wrappingKey(secret, salt, recipientKeyId, sender.keyId);
    wrappings.push({
      recipientKeyId,
      senderKeyId: sender.keyId,
      senderPublicKey: toBase64(sender.publicKey),
      salt: toBase64(salt),
      wrappedKey: toBase64(await encrypt(contentKey, key, iv, additionalData)),
    });
  }
  return { ciphertext: toBase64(ciphertext), wrappings };
}

/** Decrypts with the first of `keys` the envelope is wrapped for: {value, senderKeyId}. Throws EnvelopeError only. */
export async function open(envelope, { keys, sessionId, field }) {
  if (!isObject(envelope)) throw new EnvelopeError("bad_envelope", "the envelope is not an object");
  const ciphertext = fromBase64(envelope.ciphertext, "ciphertext");
  if (ciphertext.length < NONCE_BYTES + TAG_BYTES) {
    throw new EnvelopeError("bad_envelope", "the ciphertext is too short");
  }
  const { wrapping, pair } = wrappingFor(keys, envelope.wrappings);
  const senderPublicKey = fromBase64(wrapping.senderPublicKey, "senderPublicKey", KEY_BYTES);
  const salt = fromBase64(wrapping.salt, "salt", SALT_BYTES);
  const wrappedKey = fromBase64(wrapping.wrappedKey, "wrappedKey", KEY_BYTES + TAG_BYTES);
  if (wrapping.senderKeyId !== (await keyIdOf(senderPublicKey))) {
    throw new EnvelopeError("bad_envelope", "senderKeyId is not the id of senderPublicKey");
  }
  const additionalData = associatedData(sessionId, field);
  const secret = await sharedSecret(pair.privateKey, senderPublicKey);
  const { key, iv } = await wrappingKey(secret, salt, pair.keyId, wrapping.senderKeyId);
  const contentKey = await decrypt(wrappedKey, key, iv, additionalData);
  const nonce = ciphertext.subarray(0, NONCE_BYTES);
  const plaintext = await decrypt(ciphertext.subarray(NONCE_BYTES), contentKey, nonce, additionalData);
  return { value: valueOf(plaintext), senderKeyId: wrapping.senderKeyId };
}

export function toBase64(bytes) {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

/** Strict standard base64 with padding; throws EnvelopeError otherwise. */
export function fromBase64(text, name, length) {
  if (typeof text !== "string") throw new EnvelopeError("bad_envelope", `${name} is not a string`);
  let binary = null;
  try {
    binary = atob(text);
  } catch {
    throw new EnvelopeError("bad_envelope", `${name} is not base64`);
  }
  // atob forgives spaces, missing padding and stray bits; only the one canonical spelling survives this.
  if (btoa(binary) !== text) throw new EnvelopeError("bad_envelope", `${name} is not canonical base64`);
  if (length !== undefined && binary.length !== length) {
    throw new EnvelopeError("bad_envelope", `${name} has ${binary.length} bytes instead of ${length}`);
  }
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

export function randomBytes(length) {
  return crypto.getRandomValues(new Uint8Array(length));
}

function wrappingFor(keys, wrappings) {
  if (!Array.isArray(wrappings) || wrappings.length > MAX_WRAPPINGS) {
    throw new EnvelopeError("bad_envelope", "wrappings is not a list of reasonable length");
  }
  if (!wrappings.every((wrapping) => isObject(wrapping) && typeof wrapping.recipientKeyId === "string")) {
    throw new EnvelopeError("bad_envelope", "a wrapping is not an object with a recipientKeyId");
  }
  for (const wrapping of wrappings) {
    const pair = keys.find((candidate) => candidate.keyId === wrapping.recipientKeyId);
    if (pair) return { wrapping, pair };
  }
  throw new EnvelopeError("unknown_key", "none of our keys is among the recipients");
}

function associatedData(sessionId, field) {
  return utf8.encode(`hiloop/v1|${sessionId}|${field}`);
}

async function sharedSecret(privateKey, publicKey) {
  let secret = null;
  try {
    secret = await x25519(privateKey, publicKey);
  } catch {
    throw new EnvelopeError("bad_envelope", "the other side's public key is of low order");
  }
  // The standard has WebCrypto refuse an all-zero secret, but not every engine always did.
  if (secret.every((byte) => byte === 0)) {
    throw new EnvelopeError("bad_envelope", "the other side's public key is of low order");
  }
  return secret;
}

async function x25519(privateKey, publicKey) {
  const other = await crypto.subtle.importKey("raw", publicKey, "X25519", true, []);
  return new Uint8Array(await crypto.subtle.deriveBits({ name: "X25519", public: other }, privateKey, 8 * KEY_BYTES));
}

async function wrappingKey(secret, salt, recipientKeyId, senderKeyId) {
  const base = await crypto.subtle.importKey("raw", secret, "HKDF", false, ["deriveBits"]);
  const info = utf8.encode(`hiloop/v1/wrap|${recipientKeyId}|${senderKeyId}`);
  const algorithm = { name: "HKDF", hash: "SHA-256", salt, info };
  const okm = new Uint8Array(await crypto.subtle.deriveBits(algorithm, base, 8 * (KEY_BYTES + NONCE_BYTES)));
  return { key: okm.subarray(0, KEY_BYTES), iv: okm.subarray(KEY_BYTES) };
}

async function encrypt(plaintext, rawKey, iv, additionalData) {
  const key = await crypto.subtle.importKey("raw", rawKey, "AES-GCM", false, ["encrypt"]);
  return new Uint8Array(await crypto.subtle.encrypt({ name: "AES-GCM", iv, additionalData }, key, plaintext));
}

async function decrypt(ciphertext, rawKey, iv, additionalData) {
  const key = await crypto.subtle.importKey("raw", rawKey, "AES-GCM", false, ["decrypt"]);
  try {
    return new Uint8Array(await crypto.subtle.decrypt({ name: "AES-GCM", iv, additionalData }, key, ciphertext));
  } catch {
    throw new EnvelopeError("bad_ciphertext", "authentication fails");
  }
}

function valueOf(plaintext) {
  let text = null;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(plaintext);
  } catch {
    throw new EnvelopeError("bad_envelope", "the plaintext is not UTF-8");
  }
  try {
    return JSON.parse(text);
  } catch {
    return text; // plaintext that is not JSON is kept as text
  }
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function concat(first, second) {
  const joined = new Uint8Array(first.length + second.length);
  joined.set(first);
  joined.set(second, first.length);
  return joined;
}
