/**
 * The constraint of an answer that may think first: thoughts are free, up to the token that ends them, and behind it the
 * answer's own constraint begins. Until then a text is not whole, so that no end token is allowed.
 */
import type { AllowedTokens, TokenConstraint } from "./allowed-tokens.js";

/** The markers of thoughts, each one token. */
export interface ThoughtTokens {
  /** Null: an answer that is not within them never begins them. */
  readonly begin: number | null;
  readonly end: number;
  /** The prompt has begun them. */
  readonly isOpen: boolean;
}

export class AfterThoughts implements TokenConstraint {
  readonly #answer: TokenConstraint;
  readonly #thoughts: ThoughtTokens;
  /** `before`: nothing was said yet, and thoughts may begin. */
  #place: "before" | "within" | "behind";
  #allowed: AllowedTokens | null = null;

  /** @param answer at its beginning */
  constructor(answer: TokenConstraint, thoughts: ThoughtTokens) {
    this.#answer = answer;
    this.#thoughts = thoughts;
    this.#place = thoughts.isOpen ? "within" : thoughts.begin === null ? "behind" : "before";
  }

  get allowed(): AllowedTokens | null {
    const { allowed } = this.#answer;
    if (this.#place === "behind" || allowed === null) return allowed;
    this.#allowed ??=
      this.#place === "within" ? anything(allowed) : withToken(allowed, this.#thoughts.begin!);
    return this.#allowed;
  }

  get isOver(): boolean {
    return this.#place === "behind" && this.#answer.isOver;
  }

  /** What the answer may begin with is found while it thinks. */
  prepare(fuel: number): boolean {
    return this.#answer.prepare(fuel);
  }

  accept(token: number): void {
    const { begin, end } = this.#thoughts;
    if (this.#place === "within") {
      if (token === end) this.#place = "behind";
      return;
    }
    if (this.#place === "before" && token === begin) {
      this.#place = "within";
      this.#allowed = null;
      return;
    }
    this.#place = "behind";
    this.#answer.accept(token);
  }
}

function anything({ mask, endTokenIds }: AllowedTokens): AllowedTokens {
  return { mask: new Uint32Array(mask.length).fill(0xffffffff), endTokenIds, mayEnd: false };
}

function withToken({ mask, ...ends }: AllowedTokens, token: number): AllowedTokens {
  const added = mask.slice();
  added[token >>> 5] |= 1 << (token & 31);
  return { mask: added, ...ends };
}
