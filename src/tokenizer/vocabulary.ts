/**
 * The vocabulary of a tokenizer, read from `tokenizer.json` with what other files add to it, and checked: no id has two
 * pieces and no piece two ids, every piece is well-formed text of bounded length. Ids that nothing has are no defect:
 * models pad their vocabulary. Nor are pieces beyond the model's ids (a `[PAD]` that was never trained): only a text
 * that uses one fails.
 */
import { quoteValue } from "../quote-value.js";
import type { WrittenToken } from "./added-tokens.js";
import { invalid, isObject, type JsonObject } from "./json-objects.js";
import { type PieceModel, readPieceModel } from "./piece-model.js";
import type { DeclaredToken } from "./token-settings.js";
import type { TokenizerFiles } from "./tokenizer-files.js";

/** An entry of `added_tokens`, or of a file that adds to them. */
export interface AddedToken extends WrittenToken {
  readonly id: number;
  readonly special: boolean;
  /** Looked for in the text that the normalizer made, as the normalizer makes it. */
  readonly normalized: boolean;
}

/** The id of a piece or an added token, undefined when there is none. */
export type IdOf = (piece: string) => number | undefined;

export interface Vocabulary {
  /** Pieces and added tokens by id. */
  readonly pieces: ReadonlyMap<number, string>;
  readonly idOf: IdOf;
  /** Ids of the model's own pieces. */
  readonly modelIds: ReadonlyMap<string, number>;
  readonly addedTokens: readonly AddedToken[];
  readonly pieceModel: PieceModel;
}

/** Longest piece, in UTF-16 units: bounds what a vocabulary can make of a text. */
const MAX_PIECE_LENGTH = 1024;
/** Ids are below it; keeps the library's tables of them small. */
const MAX_IDS = 1 << 24;

/**
 * @throws LastrowError `tokenizer_invalid`, `model_unsupported`
 */
export function readVocabulary({ json, fileName, declared }: TokenizerFiles): Vocabulary {
  const { model } = json;
  if (!isObject(model)) throw invalid(fileName, "has no model");
  const pieces = new Map<number, string>();
  /** Of the model alone, and of added tokens that it does not have: no text reaches those through the model. */
  const modelIds = new Map<string, number>();
  const addedIds = new Map<string, number>();
  const idOf: IdOf = (piece) => modelIds.get(piece) ?? addedIds.get(piece);
  const add = (piece: string, id: unknown, file: string, ids: Map<string, number>) => {
    if (piece.length > MAX_PIECE_LENGTH || /\p{Surrogate}/u.test(piece)) {
      throw invalid(
        file,
        `has the piece ${quoteValue(piece)}, which is over ${MAX_PIECE_LENGTH} long or not Unicode text`,
      );
    }
    if (!isId(id)) {
      throw invalid(
        file,
        `gives ${quoteValue(piece)} the id ${quoteValue(id)}, but ids are 0 to ${MAX_IDS - 1}`,
      );
    }
    const other = pieces.get(id);
    if (other !== undefined && other !== piece) {
      throw invalid(file, `gives ${quoteValue(other)} and ${quoteValue(piece)} the same id ${id}`);
    }
    const otherId = idOf(piece);
    if (otherId === id) return;
    if (otherId !== undefined)
      throw invalid(file, `gives ${quoteValue(piece)} two ids, ${otherId} and ${id}`);
    pieces.set(id, piece);
    ids.set(piece, id);
  };
  addEntries(model, fileName, (piece, id) => add(piece, id, fileName, modelIds));
  const modelSize = pieces.size;
  const pieceModel = readPieceModel(model, modelIds, fileName);
  const listed = readAddedTokens(json, fileName);
  for (const { content, id } of listed) add(content, id, fileName, addedIds);
  const added = new Map(listed.map((token) => [token.content, token]));
  for (const token of declared) {
    // The vocabulary goes before what another file says of a token's id.
    const id = idOf(token.content) ?? token.id ?? nextId(pieces, modelSize, added.values());
    add(token.content, id, token.fileName, addedIds);
    added.set(token.content, addedBy(token, id, added.get(token.content)));
  }
  return { pieces, idOf, modelIds, addedTokens: [...added.values()], pieceModel };
}

/** A declared token; one without an id of its own only tells that a token which is there already is special. */
function addedBy(token: DeclaredToken, id: number, before: AddedToken | undefined): AddedToken {
  if (before !== undefined && token.id === null)
    return { ...before, special: before.special || token.special };
  const { content, special, normalized, lstrip, rstrip, singleWord } = token;
  return { id, content, special, normalized, lstrip, rstrip, singleWord };
}

/** The id of a token that no file gives one: behind the added tokens, or behind the vocabulary where they are within it. */
function nextId(pieces: ReadonlyMap<number, string>, modelSize: number, added: Iterable<AddedToken>): number {
  let id = modelSize;
  for (const token of added) id = Math.max(id, token.id + 1);
  while (pieces.has(id)) id++;
  return id;
}

function readAddedTokens(json: JsonObject, fileName: string): AddedToken[] {
  const listed = json.added_tokens ?? [];
  if (!Array.isArray(listed)) throw invalid(fileName, "has added_tokens that are not a list");
  return listed.map((token: unknown, i) => {
    if (!isObject(token) || typeof token.content !== "string" || token.content === "" || !isId(token.id)) {
      throw invalid(fileName, `has an added token (number ${i}) without a content or an id`);
    }
    for (const flag of ["special", "normalized", "lstrip", "rstrip", "single_word"]) {
      if (token[flag] === undefined || typeof token[flag] === "boolean") continue;
      throw invalid(
        fileName,
        `has an added token (number ${i}) whose ${flag} is ${quoteValue(token[flag])}, not true or false`,
      );
    }
    const special = token.special === true;
    return {
      id: token.id,
      content: token.content,
      special,
      normalized: token.normalized === undefined ? !special : token.normalized === true,
      lstrip: token.lstrip === true,
      rstrip: token.rstrip === true,
      singleWord: token.single_word === true,
    };
  });
}

/**
 * Pieces with what stands for their ids: an object of ids, a list, where the place is the id, or, where they were read before,
 * a map.
 */
function addEntries(
  { vocab }: JsonObject,
  fileName: string,
  add: (piece: string, id: unknown) => void,
): void {
  if (vocab instanceof Map) {
    for (const [piece, id] of vocab) add(piece, id);
    return;
  }
  if (isObject(vocab)) {
    for (const piece of Object.keys(vocab)) add(piece, vocab[piece]);
    return;
  }
  if (!Array.isArray(vocab)) throw invalid(fileName, "has no vocabulary");
  vocab.forEach((entry: unknown, id) => {
    if (!Array.isArray(entry) || typeof entry[0] !== "string" || typeof entry[1] !== "number") {
      throw invalid(fileName, `has an entry ${id} of its vocabulary that is not a piece and a score`);
    }
    add(entry[0], id);
  });
}

function isId(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value < MAX_IDS;
}
