/**
 * Reads a tokenizer from a model's files: `tokenizer.json`, or GPT-2's older `vocab.json` with `merges.txt`. The files
 * are untrusted: what they say is checked before the library sees it, and what the library still throws is wrapped.
 */
import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import { LastrowError } from "../errors.js";
import { type ModelFiles, readText } from "../formats/model-files.js";
import { bytesOfPiece } from "./byte-level.js";
import { type PieceDecoder, type PieceEncoder, Tokenizer } from "./tokenizer.js";

type JsonObject = Readonly<Record<string, unknown>>;

/** An entry of `added_tokens`. */
interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

/** A tokenizer's definition as in `tokenizer.json`, and where it came from. */
interface Definition {
  readonly json: JsonObject;
  readonly fileName: string;
}

const MODEL_TYPES: readonly string[] = ["BPE", "WordPiece", "Unigram"];

/** The start or end token that GPT-2's `vocab.json` holds without saying so. */
const GPT2_END_OF_TEXT = "<|endoftext|>";

/**
 * @param vocabSize the model's: ids are below it
 * @returns null when the model has no tokenizer
 * @throws LastrowError `tokenizer_invalid` naming the file and what is wrong with it
 */
export async function loadTokenizer(files: ModelFiles, vocabSize: number): Promise<Tokenizer | null> {
  const definition = (await readTokenizerJson(files)) ?? (await readVocabAndMerges(files));
  if (definition === null) return null;
  const config = await readJson(files, "tokenizer_config.json");
  return makeTokenizer(definition, config?.json ?? {}, vocabSize);
}

async function readTokenizerJson(files: ModelFiles): Promise<Definition | null> {
  return readJson(files, "tokenizer.json");
}

/** Assembles what `tokenizer.json` would say from the two older files. */
async function readVocabAndMerges(files: ModelFiles): Promise<Definition | null> {
  const vocab = await readJson(files, "vocab.json");
  const merges = await readText(files, "merges.txt");
  if (vocab === null && merges === null) return null;
  if (vocab === null || merges === null) {
    const [there, missing] = vocab === null ? ["merges.txt", "vocab.json"] : ["vocab.json", "merges.txt"];
    throw new LastrowError(
      "tokenizer_invalid",
      `${files.label} has ${there} but no ${missing}; a tokenizer needs both.`,
    );
  }
  const lines = merges.text.split(/\r?\n/).filter((line) => line !== "" && !line.startsWith("#version"));
  const endOfText = Object.hasOwn(vocab.json, GPT2_END_OF_TEXT) ? vocab.json[GPT2_END_OF_TEXT] : undefined;
  return {
    fileName: vocab.fileName,
    json: {
      added_tokens:
        endOfText === undefined ? [] : [{ id: endOfText, content: GPT2_END_OF_TEXT, special: true }],
      normalizer: null,
      pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: true },
      post_processor: null,
      decoder: { type: "ByteLevel" },
      model: { type: "BPE", vocab: vocab.json, merges: lines },
    },
  };
}

async function readJson(files: ModelFiles, name: string): Promise<Definition | null> {
  const found = await readText(files, name);
  if (found === null) return null;
  let json: unknown;
  try {
    json = JSON.parse(found.text);
  } catch (cause) {
    throw invalid(found.name, `is not JSON: ${messageOf(cause)}`, cause);
  }
  if (!isObject(json)) throw invalid(found.name, "is not a JSON object");
  return { json, fileName: found.name };
}

function makeTokenizer({ json, fileName }: Definition, config: JsonObject, vocabSize: number): Tokenizer {
  const addedTokens = readAddedTokens(json, fileName);
  const pieces = readPieces(json, addedTokens, fileName, vocabSize);
  const idOf = new Map([...pieces].map(([id, piece]) => [piece, id]));
  const specials = addedTokens.filter((token) => token.special);
  const build = (added: readonly AddedToken[], change: JsonObject = {}): LibraryTokenizer => {
    try {
      // The library fills in some fields of what it is given; each gets its own.
      const own = {
        normalizer: null,
        pre_tokenizer: null,
        post_processor: null,
        decoder: null,
        ...json,
        ...change,
      };
      return new LibraryTokenizer({ ...own, added_tokens: added.map((token) => ({ ...token })) }, {});
    } catch (cause) {
      throw invalid(fileName, `cannot be used: ${messageOf(cause)}`, cause);
    }
  };

  const plain = build(addedTokens.filter((token) => !token.special));
  let parsing: PieceEncoder | null = null;
  const { prefix, suffix } = readSurroundings(build, addedTokens, idOf, fileName);
  return new Tokenizer({
    plain: guarded(plain, fileName, vocabSize),
    parsing: () => {
      parsing ??= guarded(build(addedTokens), fileName, vocabSize);
      return parsing;
    },
    prefix,
    suffix,
    decoder: isByteLevel(json.decoder) ? byteDecoder(pieces, addedTokens) : textDecoder(build(addedTokens)),
    pieces,
    specialIds: new Set(specials.map((token) => token.id)),
    bosTokenId: namedToken(config.bos_token, idOf),
    eosTokenId: namedToken(config.eos_token, idOf),
    vocabSize,
  });
}

function readAddedTokens(json: JsonObject, fileName: string): AddedToken[] {
  const listed = json.added_tokens ?? [];
  if (!Array.isArray(listed)) throw invalid(fileName, "has added_tokens that are no list");
  return listed.map((token: unknown, i) => {
    if (!isObject(token) || typeof token.content !== "string" || token.content === "" || !isId(token.id)) {
      throw invalid(fileName, `has an added token (number ${i}) without a content or an id`);
    }
    return { ...token, id: token.id, content: token.content, special: token.special === true };
  });
}

/** Every piece by its id, checked: ids are the model's and no two pieces share one. */
function readPieces(
  json: JsonObject,
  addedTokens: readonly AddedToken[],
  fileName: string,
  vocabSize: number,
): Map<number, string> {
  const { model } = json;
  if (!isObject(model)) throw invalid(fileName, "has no model");
  if (!MODEL_TYPES.includes(model.type as string)) {
    throw invalid(
      fileName,
      `has a model of type ${JSON.stringify(model.type)}; ${MODEL_TYPES.join(", ")} are read`,
    );
  }
  const pieces = new Map<number, string>();
  const add = (piece: string, id: unknown) => {
    if (!isId(id) || id >= vocabSize) {
      throw invalid(
        fileName,
        `gives ${JSON.stringify(piece)} the id ${String(id)}; the model's ids are 0 to ${vocabSize - 1}`,
      );
    }
    const other = pieces.get(id);
    if (other !== undefined && other !== piece) {
      throw invalid(
        fileName,
        `gives ${JSON.stringify(other)} and ${JSON.stringify(piece)} the same id ${id}`,
      );
    }
    pieces.set(id, piece);
  };
  if (Array.isArray(model.vocab)) {
    // Unigram: [piece, score], the id is the place.
    model.vocab.forEach((entry: unknown, id) => {
      if (!Array.isArray(entry) || typeof entry[0] !== "string" || typeof entry[1] !== "number") {
        throw invalid(fileName, `has an entry ${id} of its vocabulary that is not a piece and a score`);
      }
      add(entry[0], id);
    });
  } else if (isObject(model.vocab)) {
    for (const [piece, id] of Object.entries(model.vocab)) add(piece, id);
    if (model.type === "BPE") checkMerges(model, model.vocab, fileName);
  } else {
    throw invalid(fileName, "has no vocabulary");
  }
  for (const { content, id } of addedTokens) add(content, id);
  return pieces;
}

/** Each merge joins two pieces of the vocabulary into a third. */
function checkMerges(model: JsonObject, vocab: JsonObject, fileName: string): void {
  if (!Array.isArray(model.merges)) throw invalid(fileName, "has no list of merges");
  const hasPrefix =
    typeof model.continuing_subword_prefix === "string" && model.continuing_subword_prefix !== "";
  model.merges.forEach((merge: unknown, i) => {
    const pair: unknown[] = typeof merge === "string" ? merge.split(" ") : Array.isArray(merge) ? merge : [];
    const [left, right] = pair;
    if (
      pair.length !== 2 ||
      typeof left !== "string" ||
      typeof right !== "string" ||
      left === "" ||
      right === ""
    ) {
      throw invalid(
        fileName,
        `has a merge (number ${i}) that is not a pair of pieces: ${JSON.stringify(merge)}`,
      );
    }
    for (const piece of hasPrefix ? [left, right] : [left, right, left + right]) {
      if (!Object.hasOwn(vocab, piece)) {
        throw invalid(
          fileName,
          `merges ${JSON.stringify(piece)} (merge ${i}), which the vocabulary does not have`,
        );
      }
    }
  });
}

/**
 * Which tokens the post-processor puts before and after a text. The library is asked, with a vocabulary of a single
 * stand-in for the text, so that its kinds of post-processors need not be known here.
 */
function readSurroundings(
  build: (added: readonly AddedToken[], change: JsonObject) => LibraryTokenizer,
  addedTokens: readonly AddedToken[],
  idOf: ReadonlyMap<string, number>,
  fileName: string,
): { prefix: number[]; suffix: number[] } {
  const standIn = "\u0000text\u0000";
  const model = { type: "BPE", vocab: {}, merges: [] };
  const added = [...addedTokens, { id: 2 ** 31 - 1, content: standIn, special: true }];
  const probe = build(added, { model, normalizer: null, pre_tokenizer: null });
  let tokens: string[];
  try {
    tokens = probe.encode(standIn, { add_special_tokens: true }).tokens;
  } catch (cause) {
    throw invalid(fileName, `has a post-processor that cannot be used: ${messageOf(cause)}`, cause);
  }
  const at = tokens.indexOf(standIn);
  if (at === -1) throw invalid(fileName, "has a post-processor that drops the text");
  const ids = (around: readonly string[]) =>
    around.map((token) => {
      const id = idOf.get(token);
      if (id === undefined)
        throw invalid(fileName, `has a post-processor that adds ${JSON.stringify(token)}, which is no token`);
      return id;
    });
  return { prefix: ids(tokens.slice(0, at)), suffix: ids(tokens.slice(at + 1)) };
}

/** The library's encoder, its failures wrapped and its ids checked. */
function guarded(encoder: LibraryTokenizer, fileName: string, vocabSize: number): PieceEncoder {
  return {
    encode(text, options) {
      let ids: number[];
      try {
        ({ ids } = encoder.encode(text, options));
      } catch (cause) {
        throw invalid(fileName, `fails on this text: ${messageOf(cause)}`, cause);
      }
      if (ids.some((id) => !isId(id) || id >= vocabSize)) {
        throw invalid(fileName, "has no token for a part of this text");
      }
      return { ids };
    },
  };
}

/** Ids to bytes: pieces are byte-level, added tokens are literal. */
function byteDecoder(pieces: ReadonlyMap<number, string>, addedTokens: readonly AddedToken[]): PieceDecoder {
  const literal = new Set(addedTokens.map((token) => token.id));
  const encoder = new TextEncoder();
  return {
    kind: "bytes",
    bytesOf(id) {
      // Ids that the model has and the tokenizer has not stand for nothing.
      const piece = pieces.get(id) ?? "";
      return (literal.has(id) ? null : bytesOfPiece(piece)) ?? encoder.encode(piece);
    },
  };
}

function textDecoder(library: LibraryTokenizer): PieceDecoder {
  return {
    kind: "text",
    decode: (ids) => library.decode(ids, { skip_special_tokens: false, clean_up_tokenization_spaces: false }),
  };
}

function isByteLevel(decoder: unknown): boolean {
  return isObject(decoder) && decoder.type === "ByteLevel";
}

/** The id of a token that `tokenizer_config.json` names, as text or as an object with a content. */
function namedToken(value: unknown, idOf: ReadonlyMap<string, number>): number | null {
  const name = isObject(value) ? value.content : value;
  return typeof name === "string" ? (idOf.get(name) ?? null) : null;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isId(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function invalid(fileName: string, problem: string, cause?: unknown): LastrowError {
  return new LastrowError("tokenizer_invalid", `${fileName} ${problem}.`, { cause });
}
