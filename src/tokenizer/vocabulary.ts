/**
 * The vocabulary of a tokenizer, read from `tokenizer.json` and checked: every id is one of the model's, no id has two
 * pieces and no piece two ids, every piece is well-formed text of bounded length. Ids that nothing has are no defect:
 * models pad their vocabulary.
 */
import { quoteValue } from "../formats/quote-value.js";
import { type PieceModel, readPieceModel } from "./piece-model.js";
import { invalid, isObject, type JsonObject, type TokenizerFiles } from "./tokenizer-files.js";

/** An entry of `added_tokens`. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
  /** Where it is read as such, white space before it, or behind it, belongs to it. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  /** Only counts where no word goes on beside it. */
  readonly singleWord: boolean;
}

export interface Vocabulary {
  /** Pieces and added tokens by id. */
  readonly pieces: ReadonlyMap<number, string>;
  readonly idOf: ReadonlyMap<string, number>;
  readonly addedTokens: readonly AddedToken[];
  readonly pieceModel: PieceModel;
}

/** Longest piece, in UTF-16 units: bounds what a vocabulary can make of a text. */
const MAX_PIECE_LENGTH = 1024;

/**
 * @param vocabSize the model's: ids are below it
 * @throws LastrowError `tokenizer_invalid`, `model_unsupported`
 */
export function readVocabulary({ json, fileName }: TokenizerFiles, vocabSize: number): Vocabulary {
  const { model } = json;
  if (!isObject(model)) throw invalid(fileName, "has no model");
  const addedTokens = readAddedTokens(json, fileName);
  const pieces = new Map<number, string>();
  const idOf = new Map<string, number>();
  const add = (piece: string, id: unknown) => {
    const shown = quoteValue(piece);
    if (piece.length > MAX_PIECE_LENGTH || /\p{Surrogate}/u.test(piece)) {
      throw invalid(
        fileName,
        `has the piece ${shown}, which is over ${MAX_PIECE_LENGTH} long or no Unicode text`,
      );
    }
    if (!isId(id) || id >= vocabSize) {
      throw invalid(
        fileName,
        `gives ${shown} the id ${quoteValue(id)}; the model's are 0 to ${vocabSize - 1}`,
      );
    }
    const other = pieces.get(id);
    if (other !== undefined && other !== piece) {
      throw invalid(fileName, `gives ${quoteValue(other)} and ${shown} the same id ${id}`);
    }
    const otherId = idOf.get(piece);
    if (otherId !== undefined && otherId !== id) {
      throw invalid(fileName, `gives ${shown} two ids, ${otherId} and ${id}`);
    }
    pieces.set(id, piece);
    idOf.set(piece, id);
  };
  for (const [piece, id] of readEntries(model, fileName)) add(piece, id);
  const pieceModel = readPieceModel(model, new Set(idOf.keys()), fileName);
  for (const { content, id } of addedTokens) add(content, id);

  return {
    pieces,
    idOf,
    addedTokens,
    pieceModel,
  };
}

function readAddedTokens(json: JsonObject, fileName: string): AddedToken[] {
  const listed = json.added_tokens ?? [];
  if (!Array.isArray(listed)) throw invalid(fileName, "has added_tokens that are no list");
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
    return {
      ...token,
      id: token.id,
      content: token.content,
      special: token.special === true,
      lstrip: token.lstrip === true,
      rstrip: token.rstrip === true,
      singleWord: token.single_word === true,
    };
  });
}

/** Pieces with what stands for their ids: an object of ids, or a list, where the place is the id. */
function readEntries(model: JsonObject, fileName: string): Iterable<readonly [string, unknown]> {
  if (isObject(model.vocab)) return Object.entries(model.vocab);
  if (!Array.isArray(model.vocab)) throw invalid(fileName, "has no vocabulary");
  return model.vocab.map((entry: unknown, id) => {
    if (Array.isArray(entry) && typeof entry[0] === "string" && typeof entry[1] === "number") {
      return [entry[0], id] as const;
    }
    throw invalid(fileName, `has an entry ${id} of its vocabulary that is not a piece and a score`);
  });
}

function isId(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0;
}
