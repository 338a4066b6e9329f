/** A tokenizer of single characters with special tokens of one's own: ids below their number are those. */
import { Tokenizer } from "../src/tokenizer/tokenizer.js";

interface Flags {
  readonly lstrip?: boolean;
  readonly rstrip?: boolean;
  readonly singleWord?: boolean;
}

export function textTokenizer(specials: readonly string[], flags: Flags = {}): Tokenizer {
  const encode = (text: string) => Array.from(text, (c) => specials.length + c.codePointAt(0)!);
  return new Tokenizer({
    plain: { encode },
    parsing: () => ({ encode }),
    infill: { tokens: null, missing: "has none", contents: [] },
    prefix: [],
    suffix: [],
    decoder: () => () => new Uint8Array(),
    specialTokens: specials.map((content, id) => ({
      ...{ id, content, lstrip: false, rstrip: false, singleWord: false },
      ...flags,
    })),
    bosTokenId: null,
    eosTokenId: null,
    namedTokens: {},
    vocabSize: specials.length + 0x110000,
  } as unknown as ConstructorParameters<typeof Tokenizer>[0]);
}
