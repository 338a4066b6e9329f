/**
 * From token ids to the bytes of a text, by the `decoder` of `tokenizer.json`. Every kind that is read gives each token
 * its bytes from its piece and its place (first or not) alone, so that a text decoded token by token is the text
 * decoded at once. Kinds that change what earlier tokens gave are refused; clean-up of spaces is such a change, and
 * left out.
 */
import { quoteValue } from "../quote-value.js";
import { bytesOfPiece } from "./byte-level.js";
import { invalid, isObject, type JsonFile, type JsonObject, unsupported } from "./json-objects.js";
import type { Vocabulary } from "./vocabulary.js";

export interface PieceDecoder {
  /** @param isFirst whether the token begins a text */
  bytesOf(id: number, isFirst: boolean): Uint8Array;
  /** Most spaces that are cut off where a text begins. */
  readonly trimmedSpaces: number;
  /** Whether each byte of no character becomes a U+FFFD of its own. */
  readonly replacesEachByte: boolean;
}

/** Text or bytes of a piece at its place. */
type Rule = (piece: string, isFirst: boolean) => string | Uint8Array;

const SPACE = 0x20;
const BYTE_PIECE = /^<0x([0-9A-Fa-f]{2})>$/;
/** Longest text, in UTF-16 units, that may replace another within a piece. */
const MAX_REPLACEMENT = 16;
/** How much longer all replacements together may make a piece. */
const MAX_GROWTH = 16;
const MAX_STEPS = 64;
const MAX_TRIMMED_SPACES = 64;

/** @throws LastrowError `tokenizer_invalid`, `model_unsupported` */
export function readPieceDecoder(
  { json, fileName }: JsonFile,
  { pieces, addedTokens }: Pick<Vocabulary, "pieces" | "addedTokens">,
): PieceDecoder {
  const steps = flatten(json.decoder, fileName);
  if (steps.length > MAX_STEPS) throw invalid(fileName, `has a decoder of more than ${MAX_STEPS} steps`);
  const encoder = new TextEncoder();
  const decoder = (rule: Rule, trimmedSpaces = 0, replacesEachByte = false): PieceDecoder => ({
    bytesOf(id, isFirst) {
      // Ids that the model has and the tokenizer has not stand for nothing.
      const piece = pieces.get(id);
      if (piece === undefined) return new Uint8Array();
      const given = rule(piece, isFirst);
      return typeof given === "string" ? encoder.encode(given) : given;
    },
    trimmedSpaces,
    replacesEachByte,
  });
  if (steps.length > 1) return decoder(...sequence(steps, fileName));
  const [step] = steps;
  if (step === undefined) return decoder(afterSpace(() => null));
  switch (step.type) {
    case "ByteLevel": {
      // A Map and a Set of the same strings: added tokens are literal text whatever their characters.
      const literal = new Set(addedTokens.map(({ content }) => content));
      return decoder((piece) => (literal.has(piece) ? null : bytesOfPiece(piece)) ?? piece);
    }
    case "WordPiece": {
      const prefix = textField(step, "prefix", "##", fileName);
      return decoder(afterSpace((piece) => (piece.startsWith(prefix) ? piece.slice(prefix.length) : null)));
    }
    case "Metaspace": {
      const replacement = textField(step, "replacement", "▁", fileName);
      const prepends = step.prepend_scheme !== "never" && step.add_prefix_space !== false;
      // All of the first token's, as in the original.
      return decoder((piece, isFirst) => piece.replaceAll(replacement, prepends && isFirst ? "" : " "));
    }
    default:
      return decoder(...sequence(steps, fileName));
  }
}

/**
 * Takes the tokens of one text in order; returns the bytes of each.
 * @param continues whether the text goes on another: its first token is then like all
 */
export function textBytes(decoder: PieceDecoder, continues = false): (id: number) => Uint8Array {
  let isFirst = !continues;
  let spaces = continues ? 0 : decoder.trimmedSpaces;
  return (id) => {
    const bytes = decoder.bytesOf(id, isFirst);
    isFirst = false;
    let start = 0;
    while (spaces > 0 && start < bytes.length) {
      if (bytes[start] === SPACE) {
        start++;
        spaces--;
      } else spaces = 0;
    }
    return bytes.subarray(start);
  };
}

/** A space before every piece but the first and those that `continuation` gives a text. */
function afterSpace(continuation: (piece: string) => string | null): Rule {
  return (piece, isFirst) => (isFirst ? piece : (continuation(piece) ?? ` ${piece}`));
}

/** Steps such as Llama's: replacements, then bytes written as `<0xE4>`, then all joined, then spaces cut. */
function sequence(steps: readonly JsonObject[], fileName: string): [Rule, number, boolean] {
  const replacements: (readonly [string, string])[] = [];
  let hasBytes = false;
  let isJoined = false;
  let trimmedSpaces = 0;
  let growth = 1;
  for (const step of steps) {
    if (step.type === "Replace" && !hasBytes && !isJoined) {
      const [from, to] = replacement(step, fileName);
      replacements.push([from, to]);
      growth *= Math.max(1, to.length / from.length);
      if (growth > MAX_GROWTH) {
        throw invalid(
          fileName,
          `has a decoder whose replacements could make a piece over ${MAX_GROWTH} times as long`,
        );
      }
    } else if (step.type === "ByteFallback" && !isJoined) {
      hasBytes = true;
    } else if (step.type === "Fuse") {
      isJoined = true;
    } else if (step.type === "Strip" && isJoined && step.content === " " && !step.stop) {
      trimmedSpaces += wholeNumber(step, "start", MAX_TRIMMED_SPACES, fileName);
    } else {
      throw unsupported(
        fileName,
        `has a decoder of ${steps.map(({ type }) => quoteValue(type)).join(", ")}, which is not supported`,
      );
    }
  }
  const rule: Rule = (piece) => {
    let text = piece;
    for (const [from, to] of replacements) text = text.replaceAll(from, () => to);
    const byte = hasBytes ? BYTE_PIECE.exec(text) : null;
    return byte === null ? text : Uint8Array.of(Number.parseInt(byte[1]!, 16));
  };
  return [rule, trimmedSpaces, hasBytes];
}

/** The steps of a decoder, sequences within it opened. */
function flatten(decoder: unknown, fileName: string): JsonObject[] {
  if (decoder === null || decoder === undefined) return [];
  if (!isObject(decoder) || typeof decoder.type !== "string") {
    throw invalid(fileName, `has ${quoteValue(decoder)} as decoder, but that must be an object with a type`);
  }
  if (decoder.type !== "Sequence") return [decoder];
  if (!Array.isArray(decoder.decoders)) throw invalid(fileName, "has a decoder Sequence without decoders");
  return decoder.decoders.flatMap((step: unknown) => flatten(step, fileName));
}

function replacement({ pattern, content }: JsonObject, fileName: string): readonly [string, string] {
  if (isObject(pattern) && typeof pattern.Regex === "string") {
    throw unsupported(
      fileName,
      "has a decoder that replaces by a regular expression, which is not supported",
    );
  }
  const from = isObject(pattern) ? pattern.String : undefined;
  if (
    typeof from === "string" &&
    from !== "" &&
    typeof content === "string" &&
    content.length <= MAX_REPLACEMENT
  ) {
    return [from, content];
  }
  throw invalid(
    fileName,
    `has a decoder that replaces ${quoteValue(from)} by ${quoteValue(content)}, but these must be texts, the second of at most ${MAX_REPLACEMENT} characters`,
  );
}

function textField(step: JsonObject, field: string, byDefault: string, fileName: string): string {
  const value = step[field] ?? byDefault;
  if (typeof value === "string" && value !== "") return value;
  throw invalid(fileName, `has ${quoteValue(value)} as ${field} of its decoder, but that must be a text`);
}

function wholeNumber(step: JsonObject, field: string, max: number, fileName: string): number {
  const value = step[field] ?? 0;
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= max) return value;
  throw invalid(
    fileName,
    `has ${quoteValue(value)} as ${field} of its decoder, but that must be a whole number from 0 to ${max}`,
  );
}
