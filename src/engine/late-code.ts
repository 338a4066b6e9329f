/**
 * Code of the engine that most programs never use: beam search, grammars, readouts, a KV tier. It is fetched when the first message
 * comes that needs it. Owns what has been fetched.
 */
import { fetchedCode } from "../fetched-code.js";
import type { ClientMessage } from "../protocol/messages.js";

const IMPORTS = {
  beams: () => import("./beam-job.js"),
  grammars: () => import("./grammar-store.js"),
  readouts: () => import("./readout-job.js"),
  tier: () => import("./tier-link.js"),
};

type Part = keyof typeof IMPORTS;
type Fetched = { readonly [Name in Part]: Awaited<ReturnType<(typeof IMPORTS)[Name]>> };

export class LateCode {
  readonly #fetched: Partial<Fetched> = {};

  /**
   * Fetches what a message needs; null: it is there.
   * @throws LastrowError `code_unavailable`, by rejecting
   */
  fetchFor(message: ClientMessage): Promise<unknown> | null {
    const missing = partsOf(message).filter((part) => this.#fetched[part] === undefined);
    return missing.length === 0 ? null : Promise.all(missing.map((part) => this.#fetch(part)));
  }

  /** What was fetched for the message that is taken. */
  expect<Name extends Part>(part: Name): Fetched[Name] {
    const fetched: Fetched[Name] | undefined = this.#fetched[part];
    if (fetched === undefined) throw new Error(`the code of ${part} was not fetched`);
    return fetched;
  }

  async #fetch<Name extends Part>(part: Name): Promise<void> {
    const importing = IMPORTS[part]() as Promise<Fetched[Name]>;
    (this.#fetched as { [Key in Name]?: Fetched[Key] })[part] = await fetchedCode(importing);
  }
}

function partsOf(message: ClientMessage): Part[] {
  switch (message.type) {
    case "generate": {
      const { beams, constraint } = message.request;
      return [
        ...(beams === null ? [] : ["beams" as const]),
        ...(constraint === null ? [] : ["grammars" as const]),
      ];
    }
    case "computeReadout":
      return ["readouts"];
    case "connectTier":
      return ["tier"];
    default:
      return [];
  }
}
