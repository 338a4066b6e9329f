/**
 * A text that knows which of its characters came from which message: so the text of a message never becomes a special
 * token, whatever a template does with it, and a message that left nothing in the prompt is noticed. Immutable.
 *
 * Always: cutting and joining keep the origin of every character; an empty cut of a message still says that it was cut.
 */

import { expectMemory, LARGE_TEXT } from "./memory.js";

/** Characters of one origin. */
export interface Run {
  readonly text: string;
  /** 0: the template; n: message n − 1; one more than there are messages: tools, or a variable that was asked for. */
  readonly origin: number;
}

/** Characters of the longest text that a template may make: more than any context holds, and little of a heap. */
export const MAX_TEXT = 2 ** 23;
/** Items of the longest list that a template may make, and pieces of a text: each piece takes over a hundred bytes. */
export const MAX_ITEMS = 2 ** 20;

/** Adds a piece of a text. @throws Error for more than there may be */
export function addPiece(pieces: Text[], piece: Text): void {
  expectPieces(pieces.length + 1);
  pieces.push(piece);
}

/** @throws Error for more pieces than there may be */
export function expectPieces(count: number): void {
  if (count > MAX_ITEMS) throw new Error(`a text in more than ${MAX_ITEMS} pieces`);
}

/** What was read of joined texts, so that no compiler leaves the reading out. */
let unitsRead = 0;

/**
 * Has a text joined: engines put that off until something of it is read. What is not joined yet takes no memory, and many such
 * texts could be joined all at once.
 */
function join(text: string): void {
  unitsRead = (unitsRead + text.charCodeAt(0)) & 0xffff;
}

export class Text {
  readonly runs: readonly Run[];
  readonly value: string;

  private constructor(runs: readonly Run[], value: string) {
    this.runs = runs;
    this.value = value;
    if (value.length < LARGE_TEXT) return;
    join(value);
    for (const { text } of runs) if (text.length >= LARGE_TEXT) join(text);
    expectMemory();
  }

  static of(text: string, origin = 0): Text {
    return new Text([{ text, origin }], text);
  }

  static join(parts: readonly Text[]): Text {
    if (parts.length === 1) return parts[0];
    let length = 0;
    for (const { value } of parts) length += value.length;
    if (length > MAX_TEXT) throw new Error(`a text of more than ${MAX_TEXT} characters`);
    const joined: Run[] = [];
    for (const { runs } of parts) {
      for (const run of runs) {
        const last = joined.at(-1);
        if (last !== undefined && last.origin === run.origin) {
          joined[joined.length - 1] = { text: last.text + run.text, origin: run.origin };
        } else if (run.text !== "" || run.origin !== 0) joined.push(run);
      }
    }
    return new Text(joined, joined.map(({ text }) => text).join(""));
  }

  /** The origins of its characters, the template's left out. */
  get origins(): number[] {
    return [...new Set(this.runs.map(({ origin }) => origin))].filter((origin) => origin !== 0);
  }

  /** Characters from one UTF-16 index up to another. */
  slice(start: number, end = this.value.length): Text {
    const kept: Run[] = [];
    let at = 0;
    for (const { text, origin } of this.runs) {
      const part = text.slice(Math.max(start - at, 0), Math.max(end - at, 0));
      if (part !== "") kept.push({ text: part, origin });
      at += text.length;
    }
    if (kept.length === 0) for (const origin of this.origins) kept.push({ text: "", origin });
    return new Text(kept, this.value.slice(start, end));
  }

  /** The same, each run changed for itself. */
  mapRuns(change: (text: string) => string): Text {
    return Text.join(this.runs.map(({ text, origin }) => Text.of(change(text), origin)));
  }

  /** Another text made of this one as a whole: where any of it came from a message, all of it did. */
  derive(text: string): Text {
    return Text.from(text, this.origins);
  }

  /** A text that is from several messages, all of it from each. */
  static from(text: string, [first = 0, ...others]: readonly number[]): Text {
    return Text.join([Text.of(text, first), ...others.map((origin) => Text.of("", origin))]);
  }

  repeat(times: number): Text {
    if (this.value === "") return this;
    if (this.value.length * times > MAX_TEXT) throw new Error(`a text of more than ${MAX_TEXT} characters`);
    if (this.runs.length <= 1) {
      return Text.of(this.value.repeat(Math.max(times, 0)), this.runs[0]?.origin);
    }
    expectPieces(this.runs.length * times);
    return Text.join(Array.from({ length: Math.max(times, 0) }, () => this));
  }

  /** Where the characters (code points) begin; null where each is one UTF-16 unit. */
  #starts(): number[] | null {
    if (!/[\ud800-\udbff][\udc00-\udfff]/.test(this.value)) return null;
    const starts: number[] = [];
    for (let i = 0; i < this.value.length; ) {
      starts.push(i);
      i += this.value.codePointAt(i)! > 0xffff ? 2 : 1;
    }
    return starts;
  }

  /** Number of code points. */
  get length(): number {
    return this.#starts()?.length ?? this.value.length;
  }

  /** Characters (code points) from one up to another, both from 0 to their number. A text of millions is not taken apart for it. */
  part(start: number, end = Number.POSITIVE_INFINITY): Text {
    const starts = this.#starts();
    if (starts === null) return this.slice(start, end);
    const { length } = this.value;
    return this.slice(starts[start] ?? length, starts[end] ?? length);
  }

  /** Its characters (code points), one by one. @throws Error where they are more pieces than there may be */
  characters(): Text[] {
    const starts = this.#starts();
    expectPieces(starts?.length ?? this.value.length);
    if (starts === null) return Array.from({ length: this.value.length }, (_, i) => this.slice(i, i + 1));
    return starts.map((start, i) => this.slice(start, starts[i + 1] ?? this.value.length));
  }
}
