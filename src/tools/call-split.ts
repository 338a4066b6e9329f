/**
 * Tells the calls of an answer from its text, as it arrives. White space around calls belongs to them, but where text goes on
 * behind them.
 *
 * Always: how an answer was cut into tokens changes nothing, and nothing that was emitted turns out to be another thing. What
 * looks like a call and is none is text. Owns what is held back for that, and the calls so far.
 */
import type { JsonType } from "../grammar/json-schema/schema-types.js";
import { type ArgumentsReader, JsonArguments, TaggedArguments } from "./call-arguments.js";
import type { CallFormat, CallFormatName, CallMarker } from "./call-format.js";
import { type CallPattern, matchAny, openFrom } from "./call-pattern.js";
import type { ToolCall, ToolCallDelta } from "./tool.js";

/** What is final. */
export interface SplitCalls {
  readonly text: string;
  readonly calls: readonly ToolCallDelta[];
  /** Where in the text the first of them stands that has begun here; null: none has. */
  readonly beginsAt: number | null;
}

/** A tool as a reader of calls knows it. */
export interface ReadTool {
  readonly name: string;
  /** What the value of an argument may be. */
  readonly typesOf: (argument: string) => ReadonlySet<JsonType>;
}

/** Special tokens within what is read: first halves of characters without the second, which no text has. */
const BEGIN = "\uD800\uD800";
const END = "\uD801\uD801";

/** How calls of a format are found. */
interface CallSyntax {
  /** What a call begins with behind its marker, or where the answer begins. */
  readonly first: readonly CallPattern<"call">[];
  /** What stands behind the arguments. */
  readonly tail: readonly CallPattern<"tail">[];
  /** Between calls behind one marker; null: each has its own. */
  readonly next: readonly CallPattern<"call" | "end">[] | null;
}

const NAME = [{ endsBefore: '"' }] as const;

function head(before: readonly string[], key: string): CallPattern<"call"> {
  return {
    kind: "call",
    parts: [...before, "{", '"name"', ":", '"', ...NAME, '"', ",", `"${key}"`, ":", "{"],
  };
}

const LIST: CallSyntax = {
  first: [head(["["], "arguments")],
  tail: [
    { kind: "tail", parts: ["}"] },
    { kind: "tail", parts: [",", '"id"', ":", '"', ...NAME, '"', "}"] },
  ],
  next: [head([","], "arguments"), { kind: "end", parts: ["]"] }],
};

function syntaxOf({ name, end }: CallFormat): CallSyntax {
  const ending = end === null ? [] : [inText(end, END)];
  switch (name) {
    case "hermes":
    case "smollm3":
      return {
        first: [head([], "arguments")],
        tail: [{ kind: "tail", parts: ["}", ...ending] }],
        next: null,
      };
    case "qwen3-coder":
      return {
        first: [{ kind: "call", parts: ["<function=", { endsBefore: ">" }, ">"] }],
        tail: [{ kind: "tail", parts: ending }],
        next: null,
      };
    case "granite":
    case "mistral":
      return LIST;
    case "llama3": {
      const typed = head([], "parameters");
      const [open, ...rest] = typed.parts;
      const withType = [open, '"type"', ":", '"function"', ",", ...rest];
      return {
        first: [typed, { kind: "call", parts: withType }],
        tail: [{ kind: "tail", parts: ["}"] }],
        next: null,
      };
    }
  }
}

function inText({ text, token }: CallMarker, mark: string): string {
  return token === null ? text : mark;
}

/**
 * `start`: the answer may be a call; `text`: a call may begin; `first`, `next`: one begins, or ends; `arguments`, `tail`: within
 * one; `plain`: no call comes any more.
 */
type Place = "start" | "text" | "first" | "next" | "arguments" | "tail" | "plain";

export class CallSplit {
  readonly #format: CallFormat;
  readonly #tools: ReadonlyMap<string, ReadTool>;
  readonly #newId: () => string;
  readonly #syntax: CallSyntax;
  readonly #begin: string | null;
  readonly #calls: { readonly id: string; readonly name: string; arguments: string }[] = [];
  #place: Place;
  /** What was not read yet. */
  #held = "";
  /** White space that belongs to calls, unless text stands on both sides. */
  #gap = "";
  #hasText = false;
  #reader: ArgumentsReader = new JsonArguments();

  /** @param newId makes the id of a call */
  constructor(
    format: CallFormat,
    tools: readonly ReadTool[],
    newId: () => string = () => callId(format.name),
  ) {
    this.#format = format;
    this.#tools = new Map(tools.map((tool) => [tool.name, tool]));
    this.#newId = newId;
    this.#syntax = syntaxOf(format);
    this.#begin = format.begin === null ? null : inText(format.begin, BEGIN);
    this.#place = format.begin === null ? "start" : "text";
  }

  /** The calls so far. */
  get calls(): readonly ToolCall[] {
    return this.#calls.map((call) => ({ ...call }));
  }

  /** Whether a token is a marker of the format, and so no text. */
  isMarker(token: number): boolean {
    return token === this.#format.begin?.token || token === this.#format.end?.token;
  }

  /** Takes a token that is a marker. */
  passMarker(token: number): SplitCalls {
    return this.push(token === this.#format.begin?.token ? BEGIN : END);
  }

  /** Takes text. */
  push(added: string): SplitCalls {
    this.#held += added;
    const out = new Output();
    while (this.#step(out));
    return out;
  }

  /** The answer has ended: what was held back is final. */
  flush(): SplitCalls {
    const out = new Output();
    const { begin } = this.#format;
    const held = this.#held;
    this.#held = "";
    switch (this.#place) {
      case "first":
        this.#emit((begin?.token === null ? begin.text : "") + held, out);
        break;
      case "start":
      case "text":
      case "plain":
        this.#emit(held, out);
        break;
      // Of a call that was told, what is not read yet belongs to it.
      default:
    }
    if (this.#calls.length === 0) out.text += this.#gap;
    this.#gap = "";
    this.#place = "plain";
    return out;
  }

  /** Reads on; false: nothing more can be seen now. */
  #step(out: Output): boolean {
    switch (this.#place) {
      case "start":
        return this.#call(this.#syntax.first, "plain", out);
      case "text":
        return this.#text(out);
      case "first":
        return this.#call(this.#syntax.first, "text", out);
      case "next":
        return this.#call(this.#syntax.next ?? [], "text", out);
      case "arguments":
        return this.#arguments(out);
      case "tail":
        return this.#tail();
      case "plain":
        this.#emit(this.#held, out);
        this.#held = "";
        return false;
    }
  }

  #text(out: Output): boolean {
    const begin = this.#begin ?? BEGIN;
    const at = this.#held.indexOf(begin);
    const until = at === -1 ? openFrom(this.#held, begin) : at;
    this.#emit(this.#held.slice(0, until), out);
    this.#held = this.#held.slice(at === -1 ? until : at + begin.length);
    if (at !== -1) this.#place = "first";
    return at !== -1;
  }

  /** @param otherwise what comes where no call does */
  #call(patterns: readonly CallPattern<"call" | "end">[], otherwise: Place, out: Output): boolean {
    const match = matchAny(this.#held, patterns);
    if (match === "more") return false;
    if (match !== "none" && match.kind === "end") {
      this.#held = this.#held.slice(match.end);
      this.#place = "text";
      return true;
    }
    const tool = match === "none" ? undefined : this.#tools.get(match.names[0]);
    if (match === "none" || tool === undefined) {
      const { begin } = this.#format;
      if (this.#place === "first" && begin?.token === null) this.#emit(begin.text, out);
      this.#place = otherwise;
      return true;
    }
    const isTagged = this.#format.name === "qwen3-coder";
    this.#reader = isTagged ? new TaggedArguments(tool.typesOf) : new JsonArguments();
    // The bracket that opens the arguments is their own.
    this.#held = this.#held.slice(isTagged ? match.end : match.end - 1);
    const call = { id: this.#newId(), name: tool.name, arguments: "" };
    out.add({ index: this.#calls.push(call) - 1, ...call });
    this.#place = "arguments";
    return true;
  }

  #arguments(out: Output): boolean {
    const { json: read, state, rest } = this.#reader.read(this.#held);
    const json = withoutMarks(read);
    this.#held = rest;
    const index = this.#calls.length - 1;
    this.#calls[index].arguments += json;
    if (json !== "") out.add({ index, arguments: json });
    if (state === "open") return false;
    this.#place = state === "over" ? "tail" : "text";
    return true;
  }

  #tail(): boolean {
    const match = matchAny(this.#held, this.#syntax.tail);
    if (match === "more") return false;
    // What stands there in place of the ending is text.
    if (match !== "none") this.#held = this.#held.slice(match.end);
    this.#place =
      this.#syntax.next !== null && match !== "none" ? "next" : this.#begin === null ? "plain" : "text";
    return true;
  }

  /** Emits text, but for the white space at its end. */
  #emit(added: string, out: Output): void {
    const text = this.#gap + withoutMarks(added);
    const body = text.trimEnd();
    this.#gap = text.slice(body.length);
    if (body === "") return;
    out.text += this.#hasText || this.#calls.length === 0 ? body : body.trimStart();
    this.#hasText = true;
  }
}

/** A special token where none belongs stands for nothing. */
function withoutMarks(text: string): string {
  return text.replaceAll(BEGIN, "").replaceAll(END, "");
}

class Output implements SplitCalls {
  text = "";
  readonly calls: ToolCallDelta[] = [];
  beginsAt: number | null = null;

  /** One delta for each call. */
  add(delta: ToolCallDelta): void {
    if (delta.id !== undefined) this.beginsAt ??= this.text.length;
    const last = this.calls.at(-1);
    if (last?.index !== delta.index) this.calls.push(delta);
    else this.calls[this.calls.length - 1] = { ...last, arguments: last.arguments + delta.arguments };
  }
}

const ID_SIGNS = "abcdefghijklmnopqrstuvwxyz234567";

/** An id that no other call has. Mistral's templates take no other than of nine signs. */
function callId(format: CallFormatName): string {
  const random = (length: number) =>
    Array.from(crypto.getRandomValues(new Uint8Array(length)), (byte) => ID_SIGNS[byte % 32]).join("");
  return format === "mistral" ? random(9) : `call_${random(24)}`;
}
