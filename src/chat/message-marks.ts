/**
 * Keeps the text of messages apart from what a chat template writes. A template hands back one text, and special tokens
 * count in it; so before it is filled in, every message is marked wherever it holds a special token, or could complete
 * one that the template began, and the marks go once the rendered text has been cut at the special tokens left whole.
 *
 * Marks are noncharacters of Unicode that neither a message nor a special token nor the template holds. One is put
 * behind the first character of whatever would be a special token; a special token of one character cannot be broken,
 * and has another stand in for it. One pass over a text, whatever the tokens are.
 */
import { LastrowError } from "../errors.js";
import { Beginnings, LongestMatch } from "../tokenizer/longest-match.js";
import { replaceLoneSurrogates } from "../tokenizer/tokenizer.js";

/** Nothing that people write: U+FDD0 to U+FDEF, and the last two characters of each plane. */
const NONCHARACTERS = [
  ...Array.from({ length: 32 }, (_, i) => String.fromCodePoint(0xfdd0 + i)),
  ...Array.from({ length: 34 }, (_, i) => String.fromCodePoint((i >> 1) * 0x10000 + 0xfffe + (i & 1))),
];
/** Half a surrogate pair: in no special token, and in no well-formed text. */
const SEPARATOR = "\ud800";

/** The marks of one conversation. */
export interface MessageMarks {
  /** A text of a message, marked. Half a surrogate pair in it becomes U+FFFD, as in any encoder. */
  mark(text: string): string;
  /** A part of the rendered text without the marks. */
  unmark(text: string): string;
}

/** Makes marks for the special tokens of one tokenizer and the source of one template. */
export class MessageMarker {
  readonly #specials: LongestMatch;
  readonly #joined: string;
  readonly #longest: number;
  readonly #begins: Beginnings;
  readonly #ends: Beginnings;
  /** Those of one character. */
  readonly #single: ReadonlySet<string>;
  readonly #free: readonly string[];

  constructor(specials: readonly string[], templateSource: string) {
    this.#specials = new LongestMatch(specials);
    this.#joined = specials.join(SEPARATOR);
    this.#longest = specials.reduce((longest, { length }) => Math.max(longest, length), 0);
    this.#begins = new Beginnings(specials);
    this.#ends = new Beginnings(specials.map(reversed));
    this.#single = new Set(specials.filter((text) => text.length === widthAt(text, 0)));
    this.#free = NONCHARACTERS.filter(
      (candidate) => !this.#joined.includes(candidate) && !templateSource.includes(candidate),
    );
  }

  /**
   * @param texts all that are to be marked
   * @throws LastrowError `invalid_argument` when they hold so many noncharacters that none is left to mark them
   */
  marksFor(texts: readonly string[]): MessageMarks {
    const free = this.#free.filter((candidate) => !texts.some((text) => text.includes(candidate)));
    const standIns = new Map<string, string>();
    const next = () => {
      const taken = free.shift();
      if (taken !== undefined) return taken;
      throw new LastrowError(
        "invalid_argument",
        "The messages hold too many noncharacters and special tokens of one character to be told from the chat template.",
      );
    };
    const mark = next();
    for (const single of this.#single) {
      if (texts.some((text) => text.includes(single))) standIns.set(single, next());
    }
    const meanings = new Map([
      [mark, ""],
      ...Array.from(standIns, ([single, other]) => [other, single] as const),
    ]);
    const marks = new RegExp([...meanings.keys()].join("|"), "gu");
    return {
      mark: (text) => this.#bordered(this.#broken(replaceLoneSurrogates(text), mark, standIns), mark),
      unmark: (text) => text.replace(marks, (found) => meanings.get(found)!),
    };
  }

  /** With no special token left in it. Each that begins somewhere is broken there, so overlapping ones are, too. */
  #broken(text: string, mark: string, standIns: ReadonlyMap<string, string>): string {
    let broken = "";
    let from = 0;
    for (let at = 0; at < text.length; ) {
      const width = widthAt(text, at);
      if (this.#specials.at(text, at) !== null) {
        const character = text.slice(at, at + width);
        broken += text.slice(from, at) + (standIns.get(character) ?? character + mark);
        from = at + width;
      }
      at += width;
    }
    return broken + text.slice(from);
  }

  /**
   * With a mark at each end that could complete a special token of the template's. Inside of white space, so that a
   * template that trims finds what it looks for, unless a special token goes on with white space.
   */
  #bordered(text: string, mark: string): string {
    const at = (place: boolean) => (place ? mark : "");
    const middle = text.trim();
    if (middle === "") {
      return at(this.#opens(text, mark)) + text + at(this.#closes(text, mark) || this.#isInside(text));
    }
    const start = text.indexOf(middle);
    const [lead, trail] = [text.slice(0, start), text.slice(start + middle.length)];
    const before = at(lead !== "" && this.#opens(text, mark)) + lead + at(this.#opens(middle, mark));
    const behind = at(this.#closes(middle, mark) || this.#isInside(middle)) + trail;
    return before + middle + behind + at(trail !== "" && this.#closes(text, mark));
  }

  /** Whether the text begins with the end of a special token. */
  #opens(text: string, mark: string): boolean {
    const end = reversed(text.slice(0, this.#longest - 1).split(mark, 1)[0]!);
    for (let from = 0; from < end.length; from++) if (this.#ends.has(end.slice(from))) return true;
    return false;
  }

  /** Whether the text ends with the beginning of a special token. */
  #closes(text: string, mark: string): boolean {
    const end = text
      .slice(Math.max(0, text.length - this.#longest + 1))
      .split(mark)
      .at(-1)!;
    for (let from = 0; from < end.length; from++) if (this.#begins.has(end.slice(from))) return true;
    return false;
  }

  /** Whether the whole text is within a special token. */
  #isInside(text: string): boolean {
    return text !== "" && text.length < this.#longest && this.#joined.includes(text);
  }
}

function widthAt(text: string, at: number): number {
  return text.codePointAt(at)! > 0xffff ? 2 : 1;
}

/** By code units: only to be compared with others of the kind. */
function reversed(text: string): string {
  return text.split("").reverse().join("");
}
