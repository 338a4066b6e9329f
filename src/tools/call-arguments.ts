/** Reads the arguments of one call as they are written, and gives them as JSON. */
import { JSON_STYLES } from "../grammar/json-schema/json-text.js";
import type { JsonType } from "../grammar/json-schema/schema-types.js";
import { type CallPattern, matchAny, openFrom } from "./call-pattern.js";

/** What is new. */
export interface ReadArguments {
  /** JSON that is final. */
  readonly json: string;
  /** `open`: they go on; `over`: they are whole; `wrong`: they cannot go on like this. */
  readonly state: "open" | "over" | "wrong";
  /** What is not read yet: where they are over or wrong, what stands behind them. */
  readonly rest: string;
}

export interface ArgumentsReader {
  /** @param text what was not read before, and what is new */
  read(text: string): ReadArguments;
}

/** An object as JSON: it is handed on as it is, to the bracket that closes it. */
export class JsonArguments implements ArgumentsReader {
  #depth = 0;
  #isInText = false;
  #isEscaped = false;

  read(text: string): ReadArguments {
    for (let i = 0; i < text.length; i++) {
      const sign = text[i];
      if (this.#isEscaped) this.#isEscaped = false;
      else if (this.#isInText) {
        if (sign === "\\") this.#isEscaped = true;
        else if (sign === '"') this.#isInText = false;
      } else if (sign === '"') this.#isInText = true;
      else if (sign === "{" || sign === "[") this.#depth += 1;
      else if (sign === "}" || sign === "]") {
        this.#depth -= 1;
        if (this.#depth === 0) return { json: text.slice(0, i + 1), state: "over", rest: text.slice(i + 1) };
      }
    }
    return { json: text, state: "open", rest: "" };
  }
}

/** Longest name of an argument between tags. */
export const MAX_NAME_LENGTH = 256;
/** The tag that ends a value, at the beginning of a line. */
export const VALUE_TAG = "</parameter>";
const LINE_AND_TAG = `\n${VALUE_TAG}`;
/** What ends a value, as it is written: the line break in front of the tag is no part of the value. */
export const VALUE_END = `${LINE_AND_TAG}\n`;

const TAGS: readonly CallPattern<"value" | "end">[] = [
  { kind: "value", parts: ["<parameter=", { endsBefore: ">" }, ">"] },
  { kind: "end", parts: ["</function>"] },
];

/** Arguments between tags, which are texts or JSON as their types say. */
export class TaggedArguments implements ArgumentsReader {
  readonly #typesOf: (name: string) => ReadonlySet<JsonType>;
  /** Types of the value that is being read; null: none is. */
  #types: ReadonlySet<JsonType> | null = null;
  /** The line break in front of the value was passed, or there is none. */
  #hasValueBegun = false;
  #count = 0;

  /** @param typesOf what the value of an argument may be */
  constructor(typesOf: (name: string) => ReadonlySet<JsonType>) {
    this.#typesOf = typesOf;
  }

  read(text: string): ReadArguments {
    let json = "";
    let rest = text;
    for (;;) {
      if (this.#types === null) {
        const match = matchAny(rest, TAGS);
        if (typeof match === "string") return { json, state: match === "more" ? "open" : "wrong", rest };
        rest = rest.slice(match.end);
        if (match.kind === "end") {
          return { json: `${json}${this.#count === 0 ? "{}" : "}"}`, state: "over", rest };
        }
        const [name] = match.names;
        const { comma, colon } = JSON_STYLES.spaced;
        this.#types = this.#typesOf(name);
        this.#hasValueBegun = false;
        json += `${this.#count === 0 ? "{" : comma}${JSON.stringify(name)}${colon}`;
        if (isText(this.#types)) json += '"';
        this.#count += 1;
      }
      if (!this.#hasValueBegun) {
        // A tag right there ends an empty value, also where one line break is all that stands before it.
        if (LINE_AND_TAG.startsWith(rest) || VALUE_TAG.startsWith(rest)) return { json, state: "open", rest };
        if (rest[0] === "\n" && !rest.startsWith(LINE_AND_TAG)) rest = rest.slice(1);
        else if (rest.startsWith(VALUE_TAG)) rest = `\n${rest}`;
        this.#hasValueBegun = true;
      }
      const end = rest.indexOf(LINE_AND_TAG);
      const until = end === -1 ? openFrom(rest, LINE_AND_TAG) : end;
      if (isText(this.#types)) {
        json += JSON.stringify(rest.slice(0, until)).slice(1, -1);
        if (end === -1) return { json, state: "open", rest: rest.slice(until) };
        json += '"';
      } else if (end === -1) return { json, state: "open", rest };
      else json += valueJson(rest.slice(0, until), this.#types);
      this.#types = null;
      rest = rest.slice(end + LINE_AND_TAG.length);
    }
  }
}

function isText(types: ReadonlySet<JsonType>): boolean {
  return types.size === 1 && types.has("string");
}

/** How templates, which are Python's, write some values. */
const PYTHON_VALUES: ReadonlyMap<string, boolean | null> = new Map([
  ["True", true],
  ["False", false],
  ["None", null],
]);

/** A value that is no text, or need not be one: as JSON where it is that and of such a type, else as a text. */
function valueJson(written: string, types: ReadonlySet<JsonType>): string {
  const value = PYTHON_VALUES.has(written) ? PYTHON_VALUES.get(written) : parsed(written);
  if (value !== undefined && typesOf(value).some((type) => type !== "string" && types.has(type))) {
    return PYTHON_VALUES.has(written) ? JSON.stringify(value) : written;
  }
  return JSON.stringify(written);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function typesOf(value: unknown): readonly JsonType[] {
  if (value === null) return ["null"];
  if (Array.isArray(value)) return ["array"];
  if (typeof value === "number") return ["number", "integer"];
  return [typeof value as JsonType];
}
