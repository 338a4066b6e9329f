/**
 * The tokens that `post_processor` of a `tokenizer.json` puts around a text. Read here rather than run by the library,
 * because a template may repeat the text, and templates of templates without bound.
 */
import { quoteValue } from "../quote-value.js";
import { invalid, isObject, type JsonFile, unsupported } from "./json-objects.js";
import type { IdOf } from "./vocabulary.js";

/** Token ids before and after a text. */
export interface Surroundings {
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
}

/** Most tokens around a text. */
const MAX_TOKENS = 64;

/**
 * @param idOf ids of tokens
 * @throws LastrowError `tokenizer_invalid`, `model_unsupported`
 */
export function readPostProcessor({ json, fileName }: JsonFile, idOf: IdOf): Surroundings {
  const around = new Reader(fileName, idOf).read(json.post_processor);
  if (around.prefix.length + around.suffix.length <= MAX_TOKENS) return around;
  throw invalid(fileName, `has a post_processor that adds more than ${MAX_TOKENS} tokens to a text`);
}

class Reader {
  readonly #fileName: string;
  readonly #idOf: IdOf;

  constructor(fileName: string, idOf: IdOf) {
    this.#fileName = fileName;
    this.#idOf = idOf;
  }

  read(processor: unknown): Surroundings {
    if (processor === null || processor === undefined) return { prefix: [], suffix: [] };
    if (!isObject(processor))
      throw this.#invalid(`that is ${quoteValue(processor)}, not an object with a type`);
    switch (processor.type) {
      case "ByteLevel":
        // Only moves offsets, which are not used here.
        return { prefix: [], suffix: [] };
      case "BertProcessing":
      case "RobertaProcessing":
        return { prefix: this.#pair(processor.cls), suffix: this.#pair(processor.sep) };
      case "TemplateProcessing":
        return this.#template(processor.single, processor.special_tokens);
      case "Sequence": {
        if (!Array.isArray(processor.processors))
          throw this.#invalid("that is a Sequence without processors");
        const all = processor.processors.map((member) => this.read(member));
        // A later one goes around what the earlier ones made.
        return {
          prefix: all.toReversed().flatMap(({ prefix }) => prefix),
          suffix: all.flatMap(({ suffix }) => suffix),
        };
      }
      default:
        throw this.#invalid(`of type ${quoteValue(processor.type)}, which is not known`);
    }
  }

  /** `[{ SpecialToken: { id: "<s>" } }, { Sequence: { id: "A" } }]`: what stands before and after the one text. */
  #template(items: unknown, specialTokens: unknown): Surroundings {
    if (!Array.isArray(items)) throw this.#invalid("that is a TemplateProcessing without a list `single`");
    const around: [number[], number[]] = [[], []];
    let texts = 0;
    for (const item of items) {
      const token = isObject(item) && isObject(item.SpecialToken) ? item.SpecialToken.id : undefined;
      const sequence = isObject(item) && isObject(item.Sequence) ? item.Sequence.id : undefined;
      if (typeof token === "string") {
        const entry =
          isObject(specialTokens) && Object.hasOwn(specialTokens, token) ? specialTokens[token] : null;
        const ids = isObject(entry) ? entry.ids : undefined;
        around[texts === 0 ? 0 : 1].push(this.#id(token, ids));
      } else if (sequence === "A") {
        texts++;
      } else {
        throw this.#invalid("whose template has an entry that is neither a token nor the text");
      }
    }
    if (texts !== 1) throw this.#invalid(`whose template has the text ${texts} times, not once`);
    return { prefix: around[0], suffix: around[1] };
  }

  /** `["[CLS]", 101]` */
  #pair(pair: unknown): number[] {
    if (Array.isArray(pair) && pair.length === 2 && typeof pair[0] === "string") {
      return [this.#id(pair[0], [pair[1]])];
    }
    throw this.#invalid(`that has ${quoteValue(pair)} where a token and its id must be`);
  }

  /** @param ids the token's, as the post-processor has them; undefined when it leaves that to the vocabulary */
  #id(token: string, ids: unknown): number {
    const id = this.#idOf(token);
    if (id === undefined) throw this.#invalid(`that adds ${quoteValue(token)}, which is not a token`);
    if (ids === undefined || (Array.isArray(ids) && ids.length === 1 && ids[0] === id)) return id;
    throw unsupported(
      this.#fileName,
      `has a post_processor that adds ${quoteValue(token)} as ${quoteValue(ids)}, but its id is ${id}`,
    );
  }

  #invalid(problem: string) {
    return invalid(this.#fileName, `has a post_processor ${problem}`);
  }
}
