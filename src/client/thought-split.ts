/**
 * Tells the thoughts of an answer from its text, as it arrives. Thoughts come first, if at all: behind their end, or where
 * the answer begins with anything else, all is text, markers included. White space at the ends of the thoughts, and
 * between them and the text, belongs to the markers.
 *
 * Always: how an answer was cut into tokens changes nothing, and nothing that was emitted turns out to be another thing. Owns
 * what is held back for that: white space, and the beginning of a marker that is spelled.
 */
import type { AnswerThoughts, ThoughtMarker } from "../chat/thoughts.js";

/** What is final. */
export interface SplitText {
  readonly text: string;
  readonly reasoning: string;
}

export class ThoughtSplit {
  readonly #begin: ThoughtMarker;
  readonly #end: ThoughtMarker;
  /** `before`: nothing but white space so far; `behind`: nothing but white space since the thoughts' end. */
  #place: "before" | "within" | "behind" | "text";
  #held = "";
  #hasBegun: boolean;
  /** Something of the thoughts has been emitted. */
  #hasThought = false;

  constructor({ begin, end, isOpen }: AnswerThoughts) {
    this.#begin = begin;
    this.#end = end;
    this.#place = isOpen ? "within" : "before";
    this.#hasBegun = isOpen;
  }

  /** Whether what was taken last belongs to the thoughts, markers included. */
  get isThinking(): boolean {
    return this.#place === "within";
  }

  /** Whether the answer has begun to think, if only with a marker. */
  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  /** Whether a token is a marker where it stands, and so no text. */
  isMarker(token: number): boolean {
    if (this.#place === "within" && token === this.#end.token) return true;
    if (token !== this.#begin.token) return false;
    // A model may begin its thoughts though its prompt has done so already.
    return this.#place === "before" || (this.#place === "within" && !this.#hasThought);
  }

  /** Takes a token that is a marker. */
  passMarker(token: number): SplitText {
    const reasoning = this.#place === "within" ? this.#held.trimEnd() : "";
    this.#held = "";
    this.#place = token === this.#end.token ? "behind" : "within";
    this.#hasBegun = true;
    return { text: "", reasoning };
  }

  /** Takes text. */
  push(added: string): SplitText {
    this.#held += added;
    if (this.#place === "before") this.#begins();
    const reasoning = this.#place === "within" ? this.#thoughts() : "";
    if (this.#place === "behind") {
      this.#held = this.#held.trimStart();
      if (this.#held !== "") this.#place = "text";
    }
    let text = "";
    if (this.#place === "text") {
      text = this.#held;
      this.#held = "";
    }
    return { text, reasoning };
  }

  /** Something that is neither text nor thoughts stands here: no thoughts come any more. */
  endThoughts(): SplitText {
    const held = this.flush();
    this.#place = "text";
    return held;
  }

  /** The answer has ended: what was held back is final. */
  flush(): SplitText {
    const held = this.#held;
    this.#held = "";
    if (this.#place === "within") return { text: "", reasoning: held.trimEnd() };
    return { text: this.#place === "before" ? held : "", reasoning: "" };
  }

  /** Sees whether the answer begins with thoughts. */
  #begins(): void {
    const rest = this.#held.trimStart();
    const { text, token } = this.#begin;
    if (token === null && rest.startsWith(text)) {
      this.#place = "within";
      this.#hasBegun = true;
      this.#held = rest.slice(text.length);
    } else if (rest !== "" && !(token === null && text.startsWith(rest))) this.#place = "text";
  }

  /** What is final of the thoughts. */
  #thoughts(): string {
    if (!this.#hasThought) {
      this.#held = this.#held.trimStart();
      const { text, token } = this.#begin;
      while (token === null && this.#held.startsWith(text)) {
        this.#held = this.#held.slice(text.length).trimStart();
      }
      // It may become one.
      if (token === null && text.startsWith(this.#held)) return "";
    }
    const { text, token } = this.#end;
    const at = token === null ? this.#held.indexOf(text) : -1;
    const open = at !== -1 ? at : token === null ? openFrom(this.#held, text) : this.#held.length;
    const final = this.#held.slice(0, open).trimEnd();
    if (at !== -1) {
      this.#place = "behind";
      this.#held = this.#held.slice(at + text.length);
    } else this.#held = this.#held.slice(final.length);
    if (final !== "") this.#hasThought = true;
    return final;
  }
}

/** Where the end of a text begins that may be the beginning of a marker; its length if none does. */
function openFrom(text: string, marker: string): number {
  for (let from = Math.max(0, text.length - marker.length + 1); from < text.length; from++) {
    if (marker.startsWith(text.slice(from))) return from;
  }
  return text.length;
}
