/**
 * `model` of a `tokenizer.json`, the part that cuts words into pieces: its fields checked, and, for WordPiece and Unigram,
 * written anew for the library out of known fields only. Refused is what would be done wrongly in silence, and what would
 * let a hostile file take unbounded time or memory on an ordinary text.
 */
import { quoteValue } from "../quote-value.js";
import { BytePairs } from "./byte-pairs.js";
import { invalid, isObject, type JsonObject, unsupported } from "./json-objects.js";
import { type LibraryModel, Unigram, WordPiece } from "./library.js";
import { isMergeIds, MergeTable } from "./merge-table.js";

/** Ids of words; undefined where the vocabulary has none. */
type WordEncoder = (words: readonly string[]) => (number | undefined)[];

export interface PieceModel {
  /**
   * With these pieces out of reach of any text.
   * @throws what the library throws
   */
  without(unreachable: ReadonlySet<string>): WordEncoder;
  /** Most characters that can be encoded at once. */
  readonly maxTextLength: number;
  /** Of a BPE model, which is made of its vocabulary's ids and of these; null for other kinds. */
  readonly merges: MergeTable | null;
}

/** Takes a piece's place where no text may reach it. */
type Rename = (piece: string) => string;

/**
 * Half a surrogate pair is in no piece and in no text, since both are well-formed. A piece that begins with it cannot
 * be reached, and an unknown piece that becomes it has no id: an error, where the library drops the piece.
 */
const UNREACHABLE = "\ud800";

/** A WordPiece model's time grows with the cube of it. The usual value is 100. */
const MAX_WORD_LENGTH = 256;
/** A Unigram model visits every piece that begins at every character: so many at most (some 600 MB). */
const MAX_LATTICE_NODES = 6_400_000;
/** The library hands a Unigram model's tokens on as the arguments of one call, whose number is limited. */
const MAX_UNIGRAM_TEXT = 100_000;

/**
 * @param idOf ids of the pieces of its vocabulary; it must not change
 * @throws LastrowError `tokenizer_invalid`, `model_unsupported`
 */
export function readPieceModel(
  model: JsonObject,
  idOf: ReadonlyMap<string, number>,
  fileName: string,
): PieceModel {
  const fields = fieldsOf(model, fileName);
  switch (model.type) {
    case "BPE":
      return bytePairModel(model, fields, idOf, fileName);
    case "WordPiece":
      return wordPieceModel(model, fields, fileName);
    case "Unigram":
      return unigramModel(model, fields, idOf.keys(), fileName);
    default:
      throw invalid(
        fileName,
        `has a model of type ${quoteValue(model.type)}; BPE, WordPiece and Unigram are read`,
      );
  }
}

function bytePairModel(
  model: JsonObject,
  fields: Fields,
  idOf: ReadonlyMap<string, number>,
  fileName: string,
): PieceModel {
  if (!isObject(model.vocab)) throw invalid(fileName, "has a vocabulary that does not fit a BPE model");
  if (fields.text("continuing_subword_prefix", "") !== "") {
    throw unsupported(fileName, "has a BPE model with a continuing_subword_prefix, which is not supported");
  }
  if (model.dropout !== undefined && model.dropout !== null && model.dropout !== 0) {
    throw unsupported(fileName, "has a BPE model with dropout, which makes the ids of a text random");
  }
  const unknown = fields.text("unk_token", null);
  const merges = readMerges(model, idOf, fileName);
  const pairs = new BytePairs((piece) => idOf.get(piece), merges, {
    endOfWordSuffix: fields.text("end_of_word_suffix", ""),
    unknownId: unknown === null ? null : (idOf.get(unknown) ?? null),
    fuseUnknown: fields.flag("fuse_unk"),
    byteFallback: fields.flag("byte_fallback"),
    ignoreMerges: fields.flag("ignore_merges"),
  });
  return {
    without(unreachable) {
      const ids = new Set<number>();
      for (const piece of unreachable) {
        const id = idOf.get(piece);
        if (id !== undefined) ids.add(id);
      }
      return pairs.without(ids);
    },
    maxTextLength: Number.POSITIVE_INFINITY,
    merges,
  };
}

/** Each merge, written `"a b"` or `["a", "b"]`, joins two pieces of the vocabulary into a third; or they were read before. */
function readMerges({ merges }: JsonObject, idOf: ReadonlyMap<string, number>, fileName: string): MergeTable {
  if (isMergeIds(merges)) return new MergeTable(merges);
  if (!Array.isArray(merges)) throw invalid(fileName, "has no list of merges");
  const [lefts, rights, merged] = Array.from({ length: 3 }, () => new Int32Array(merges.length));
  for (let i = 0; i < merges.length; i++) {
    const merge: unknown = merges[i];
    const pair: readonly unknown[] =
      typeof merge === "string" ? merge.split(" ") : Array.isArray(merge) ? merge : [];
    const [left, right] = pair;
    if (pair.length !== 2 || typeof left !== "string" || typeof right !== "string" || !left || !right) {
      const shown = quoteValue(merge);
      throw invalid(fileName, `has a merge (number ${i}) that is not a pair of pieces: ${shown}`);
    }
    const id = (piece: string) => {
      const found = idOf.get(piece);
      if (found !== undefined) return found;
      throw invalid(fileName, `merges ${quoteValue(piece)} (merge ${i}), which the vocabulary does not have`);
    };
    lefts[i] = id(left);
    rights[i] = id(right);
    merged[i] = id(left + right);
  }
  return new MergeTable({ left: lefts, right: rights, merged });
}

function wordPieceModel(model: JsonObject, fields: Fields, fileName: string): PieceModel {
  if (!isObject(model.vocab)) throw invalid(fileName, "has a vocabulary that does not fit a WordPiece model");
  const { vocab } = model;
  const unknown = fields.text("unk_token", "[UNK]");
  const common = {
    type: "WordPiece",
    continuing_subword_prefix: fields.text("continuing_subword_prefix", "##"),
    max_input_chars_per_word: fields.wholeNumber("max_input_chars_per_word", 1, MAX_WORD_LENGTH, 100),
  };
  return {
    without(unreachable) {
      const rename = renaming(unreachable);
      return wordEncoder(WordPiece, {
        ...common,
        vocab: renamed(vocab, rename),
        unk_token: rename(unknown),
      });
    },
    maxTextLength: Number.POSITIVE_INFINITY,
    merges: null,
  };
}

function unigramModel(
  model: JsonObject,
  fields: Fields,
  pieces: Iterable<string>,
  fileName: string,
): PieceModel {
  if (!Array.isArray(model.vocab) || model.vocab.length === 0) {
    throw invalid(fileName, "has a vocabulary that does not fit a Unigram model");
  }
  if (fields.flag("byte_fallback")) {
    throw unsupported(fileName, "has a Unigram model with byte_fallback, which is not supported");
  }
  const vocab: readonly (readonly [string, number])[] = model.vocab;
  const unknownId = model.unk_id === null ? null : fields.wholeNumber("unk_id", 0, vocab.length - 1, null);
  let longest = 1;
  for (const piece of pieces) longest = Math.max(longest, piece.length);
  return {
    without(unreachable) {
      const rename = renaming(unreachable);
      return wordEncoder(Unigram, {
        type: "Unigram",
        vocab: vocab.map(([piece, score]) => [rename(piece), score]),
        unk_id: unknownId,
      });
    },
    maxTextLength: Math.min(MAX_UNIGRAM_TEXT, Math.floor(MAX_LATTICE_NODES / longest)),
    merges: null,
  };
}

/** The library's model of that kind. @param config its fields, checked */
function wordEncoder(Kind: new (config: object) => LibraryModel, config: JsonObject): WordEncoder {
  const model = new Kind(config);
  // Word by word: of several, the library makes unknown characters at the end of one and at the beginning of the next one token.
  return (words) =>
    words.flatMap((word) =>
      model._call([word]).map((piece) => model.tokens_to_ids.get(piece) ?? model.unk_token_id),
    );
}

function renaming(unreachable: ReadonlySet<string>): Rename {
  return (piece) => (unreachable.has(piece) ? UNREACHABLE + piece : piece);
}

/** The same vocabulary under other names. `fromEntries` makes `__proto__` a key like any other. */
function renamed(vocab: JsonObject, rename: Rename): JsonObject {
  return Object.fromEntries(Object.entries(vocab).map(([piece, id]) => [rename(piece), id]));
}

type Fields = ReturnType<typeof fieldsOf>;

/** The optional fields of the model, checked; a field that is absent or null has its default. */
function fieldsOf(model: JsonObject, fileName: string) {
  const wrong = (field: string, expected: string) =>
    invalid(
      fileName,
      `has ${quoteValue(model[field])} as ${field} of its model, but that must be ${expected}`,
    );
  return {
    text<Default extends string | null>(field: string, byDefault: Default): string | Default {
      const value = model[field] ?? byDefault;
      if (value === byDefault) return byDefault;
      if (typeof value !== "string" || /\p{Surrogate}/u.test(value)) throw wrong(field, "a text or null");
      return value;
    },
    flag(field: string): boolean {
      const value = model[field] ?? false;
      if (typeof value !== "boolean") throw wrong(field, "true or false");
      return value;
    },
    wholeNumber<Default extends number | null>(
      field: string,
      min: number,
      max: number,
      byDefault: Default,
    ): number | Default {
      const value = model[field] ?? byDefault;
      if (value === byDefault) return byDefault;
      if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
        throw wrong(field, `a whole number from ${min} to ${max}`);
      }
      return value;
    },
  };
}
