/**
 * Finds stop strings in text that arrives in pieces, and holds back any end of it that could be the beginning of one.
 *
 * The stop string that is complete first wins; of several that end together, the longest. Whether one is there is
 * known as soon as its last character arrives, so what is emitted never depends on how the text was cut, and no text
 * waits for a longer stop string when a shorter one is complete. Owns the text that is held back. Always: that text
 * contains no whole stop string.
 */
import { LastrowError } from "../errors.js";
import { replaceLoneSurrogates } from "./lone-surrogates.js";

export interface CheckedText {
  /** Text that is final. */
  readonly text: string;
  /** The stop string that ended it, or null. */
  readonly stopped: string | null;
}

export class StopStrings {
  readonly #stops: readonly string[];
  readonly #longest: number;
  #held = "";

  /**
   * @param stops texts of at least one character. Lone surrogates in them count as U+FFFD, as in any text.
   * @throws LastrowError `invalid_argument`
   */
  constructor(stops: readonly string[]) {
    if (stops.some((stop) => stop === "")) {
      throw new LastrowError("invalid_argument", "A stop string is a text of at least one character.");
    }
    this.#stops = stops.map(replaceLoneSurrogates);
    this.#longest = this.#stops.reduce((longest, stop) => Math.max(longest, stop.length), 0);
  }

  /** Takes more text, in whole characters. Once stopped, nothing more is to be pushed. */
  push(text: string): CheckedText {
    const all = this.#held + text;
    const found = this.#firstComplete(all);
    if (found !== null) {
      this.#held = "";
      return { text: all.slice(0, found.at), stopped: found.stop };
    }
    const open = this.#openFrom(all);
    this.#held = all.slice(open);
    return { text: all.slice(0, open), stopped: null };
  }

  /** The end of the text: what was held back is final. */
  flush(): string {
    const held = this.#held;
    this.#held = "";
    return held;
  }

  #firstComplete(text: string): { at: number; stop: string } | null {
    let best: { at: number; stop: string } | null = null;
    for (const stop of this.#stops) {
      const at = text.indexOf(stop);
      if (at === -1) continue;
      const later = best === null ? -1 : at + stop.length - (best.at + best.stop.length);
      if (best === null || later < 0 || (later === 0 && at < best.at)) best = { at, stop };
    }
    return best;
  }

  /** Least position from which the rest of the text is a proper beginning of a stop string; the length if none. */
  #openFrom(text: string): number {
    for (let from = Math.max(0, text.length - this.#longest + 1); from < text.length; from++) {
      const end = text.slice(from);
      if (this.#stops.some((stop) => stop.startsWith(end))) return from;
    }
    return text.length;
  }
}
