/**
 * Access: the keys of a file, kept as SHA-256 digests and compared in constant time, and what each key's owner is
 * called. Owns the digests; the keys themselves are forgotten when the file is read.
 *
 * The file has a line for each key: a name, white space, the key (`alice sk-4f0c…`), or `sha256:` and 64 hexadecimal
 * digits in the key's place. Empty lines and lines that begin with # count for nothing.
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { LastrowError } from "../errors.js";

/** The owner of a request. */
export interface Principal {
  /** The key's name; "anonymous" where no keys are asked for. */
  readonly name: string;
  /** Whose prefixes it shares: its own, or those of all where that is allowed. */
  readonly salt: string;
}

interface KnownKey {
  readonly principal: Principal;
  readonly digest: Buffer;
}

/** Shorter keys can be guessed. */
const LEAST_KEY_LENGTH = 16;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/;
const DIGEST = /^sha256:([0-9a-f]{64})$/i;

export interface KeyOptions {
  /** The salt of whoever has a name. */
  readonly saltOf: (name: string) => string;
  /** Whether all share their prefixes. */
  readonly sharePrefixes: boolean;
}

export class ApiKeys {
  readonly #options: KeyOptions;
  /** Null: no key is asked for. */
  #keys: readonly KnownKey[] | null = null;
  readonly #anonymous: Principal;

  constructor(options: KeyOptions) {
    this.#options = options;
    this.#anonymous = this.#principal("anonymous");
  }

  /** Whether a key is asked for. */
  get areRequired(): boolean {
    return this.#keys !== null;
  }

  get count(): number {
    return this.#keys?.length ?? 0;
  }

  /**
   * Takes the keys of a file in place of all that were known. On an error those stay.
   * @throws LastrowError `invalid_argument`, naming the line and never the key
   */
  replace(text: string, fileName: string): void {
    const keys: KnownKey[] = [];
    const names = new Set<string>();
    const digests = new Set<string>();
    for (const [i, line] of text.split(/\r?\n/).entries()) {
      if (line.trim() === "" || line.trimStart().startsWith("#")) continue;
      const wrong = (what: string) =>
        new LastrowError("invalid_argument", `${fileName}, line ${i + 1}: ${what}.`);
      const parts = line.trim().split(/\s+/);
      if (parts.length !== 2) throw wrong("a line is a name, white space, and a key");
      const [name, key] = parts;
      if (!NAME.test(name)) {
        throw wrong(
          "a name has 1 to 64 letters, digits, dots, dashes, underscores or @, a letter or digit first",
        );
      }
      if (names.has(name)) throw wrong(`the name ${name} comes twice`);
      const stated = DIGEST.exec(key);
      if (stated === null && key.length < LEAST_KEY_LENGTH) {
        throw wrong(`the key is shorter than ${LEAST_KEY_LENGTH} characters`);
      }
      const digest = stated === null ? sha256(key) : Buffer.from(stated[1], "hex");
      if (digests.has(digest.toString("hex"))) throw wrong("the same key comes under another name");
      names.add(name);
      digests.add(digest.toString("hex"));
      keys.push({ principal: this.#principal(name), digest });
    }
    if (keys.length === 0) throw new LastrowError("invalid_argument", `${fileName} has no key in it.`);
    this.#keys = keys;
  }

  /** The key's owner; null for an unknown key. Takes the same time for every key. */
  identify(presented: string | null): Principal | null {
    if (this.#keys === null) return this.#anonymous;
    if (presented === null) return null;
    const digest = sha256(presented);
    let found: Principal | null = null;
    for (const { principal, digest: known } of this.#keys) {
      if (timingSafeEqual(digest, known)) found = principal;
    }
    return found;
  }

  #principal(name: string): Principal {
    const { saltOf, sharePrefixes } = this.#options;
    return { name, salt: sharePrefixes ? "" : saltOf(name) };
  }
}

/** Salts of one server: HMACs of names under its secret. */
export function saltsUnder(secret: Uint8Array): KeyOptions["saltOf"] {
  return (name) => createHmac("sha256", secret).update(name).digest("base64url");
}

/** The salt of a request: its principal's, narrowed further by its own. */
export function requestSalt(principal: Principal, own: string | null | undefined): string {
  return own ? `${principal.salt}/${sha256(own).toString("base64url")}` : principal.salt;
}

function sha256(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
