/**
 * Text to token ids and back. Special tokens written in a text are plain text unless asked for; ids become text by their
 * bytes, and a stream never emits half a character.
 *
 * Always: a text decoded token by token is the text decoded at once. Lone surrogates in a text count as U+FFFD, as in
 * any UTF-8 encoder.
 */
import { invalidArgument, LastrowError } from "../errors.js";
import { checkOptions, isListOfIds, shown } from "../option-checks.js";
import { optionNames } from "../option-names.js";
import { type FoundInfill, type InfillTokens, infillPrompt } from "./infill-tokens.js";
import { replaceLoneSurrogates } from "./lone-surrogates.js";
import { type PieceDecoder, textBytes } from "./piece-decoder.js";
import type { TokenizerFiles } from "./tokenizer-files.js";
import { utf8Text } from "./utf8-text.js";

/** A token that stands for no text: a start, an end, a role of a chat. */
export interface SpecialToken {
  readonly id: number;
  /** How it is written where special tokens count as such. */
  readonly content: string;
  /** There, white space before it, or behind it, belongs to it. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  /** Only counts where no word goes on beside it. */
  readonly singleWord: boolean;
}

/** Ids of a text that is not empty and well-formed. */
export interface PieceEncoder {
  /** @param continues whether the text goes on another, so that nothing of it is at the beginning of one */
  encode(text: string, continues: boolean): number[];
}

/** As `TokenizerParts.plain`; tokens that ask for a middle are plain text, too, whatever kind they are. */
export interface InfillEncoders {
  readonly before: PieceEncoder;
  /** Puts nothing in front of a text. */
  readonly after: PieceEncoder;
}

export interface TokenizerParts {
  /** See `Tokenizer.portable`. */
  readonly portable?: () => TokenizerFiles;
  /** Reads the text as plain text. */
  readonly plain: PieceEncoder;
  /** Reads special tokens written in the text as such; made when it is first needed. */
  readonly parsing: () => PieceEncoder;
  /** For the texts before and behind a middle; made when they are first needed. */
  readonly infilling: () => InfillEncoders;
  readonly infill: FoundInfill;
  /** Special tokens that the post-processor puts around a text. */
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
  readonly decoder: PieceDecoder;
  readonly specialTokens: readonly SpecialToken[];
  readonly bosTokenId: number | null;
  readonly eosTokenId: number | null;
  /** See `Tokenizer.namedTokens`. */
  readonly namedTokens: Readonly<Record<string, string>>;
  /** Ids of the model are below it. */
  readonly vocabSize: number;
}

/** How text becomes token ids. */
export interface EncodeOptions {
  /** Whether the post-processor's tokens (a start token, say) are added. Default true. */
  readonly addSpecialTokens?: boolean | undefined;
  /** Whether special tokens written in the text count as such. Default false: they are plain text. */
  readonly parseSpecial?: boolean | undefined;
  /**
   * Whether the text stands behind other tokens rather than at the beginning, where some tokenizers put a space in front of
   * it. Default false.
   */
  readonly continues?: boolean | undefined;
}

/** How token ids become text. */
export interface DecodeOptions {
  /** Whether special tokens are left out of the text. Default true. */
  readonly skipSpecialTokens?: boolean | undefined;
}

/** How token ids become text as they arrive. */
export interface StreamOptions extends DecodeOptions {
  /**
   * Whether the text goes on another: then it keeps the space in front of its first word, which some tokenizers leave out
   * where a text begins. Default false.
   */
  readonly continues?: boolean | undefined;
}

const ENCODE_OPTIONS = optionNames<EncodeOptions>()("encode", {
  addSpecialTokens: true,
  parseSpecial: true,
  continues: true,
});
const DECODE_OPTIONS = optionNames<DecodeOptions>()("decode", { skipSpecialTokens: true });
const STREAM_OPTIONS = optionNames<StreamOptions>()("stream", { skipSpecialTokens: true, continues: true });

/** Text that becomes final, token by token. All that `push` and `flush` give, joined, is the whole decoded at once. */
export interface TextStream {
  /** Takes a token; returns the text that is final now, in whole characters. */
  push(id: number): string;
  /** Ends the text: bytes that never became a character are U+FFFD. */
  flush(): string;
}

/** A model's tokenizer: text to token ids and back. `load` makes it; it holds no state, so that any number of streams may run. */
export class Tokenizer {
  readonly #parts: TokenizerParts;
  readonly #specialIds: ReadonlySet<number>;
  /** 0: not looked for yet. */
  #longestToken = 0;

  /** Made by `loadTokenizer`. */
  constructor(parts: TokenizerParts) {
    this.#parts = parts;
    this.#specialIds = new Set(parts.specialTokens.map(({ id }) => id));
  }

  /** All special tokens. */
  get specialTokens(): readonly SpecialToken[] {
    return this.#parts.specialTokens;
  }

  /** The token that starts a text, or null. */
  get bosTokenId(): number | null {
    return this.#parts.bosTokenId;
  }

  /** The token that ends a text, or null. */
  get eosTokenId(): number | null {
    return this.#parts.eosTokenId;
  }

  /** The tokens with which the model is asked for the middle of a text; null where the tokenizer has none. */
  get infillTokens(): InfillTokens | null {
    return this.#parts.infill.tokens;
  }

  /** What is missing where `infillTokens` is null, in words that follow "its tokenizer". @internal */
  get missingInfill(): string {
    return this.#parts.infill.missing;
  }

  /** Texts of the tokens that the model's files name, as chat templates know them: `bos_token`, `pad_token` and the like. */
  get namedTokens(): Readonly<Record<string, string>> {
    return this.#parts.namedTokens;
  }

  /**
   * What this tokenizer is made of, as plain data: `tokenizerOf` makes another of it in another thread, without its files.
   * Null for one that was not made of files. @internal
   */
  portable(): TokenizerFiles | null {
    return this.#parts.portable?.() ?? null;
  }

  /** Number of ids of the model; a tokenizer may use fewer. */
  get vocabSize(): number {
    return this.#parts.vocabSize;
  }

  /** Bytes of the longest token: no text that is longer than n times as much has only n tokens. */
  get longestToken(): number {
    if (this.#longestToken === 0) {
      for (let id = 0; id < this.vocabSize; id++) {
        this.#longestToken = Math.max(this.#longestToken, this.tokenBytes(id).length, 1);
      }
    }
    return this.#longestToken;
  }

  /**
   * Token ids of a text. Time grows as n log n with the text: a megabyte takes half a second, with or without spaces.
   *
   * @throws LastrowError `tokenizer_invalid` when the vocabulary has no token for a part of the text,
   *   `token_out_of_range` when it uses a token that the tokenizer has and the model has not, `invalid_argument` when the
   *   text is none, or longer than a Unigram vocabulary can take
   */
  encode(text: string, options: EncodeOptions = {}): number[] {
    if (typeof text !== "string") throw invalidArgument(`encode takes a text, not ${shown(text)}.`);
    checkOptions(options, ENCODE_OPTIONS);
    const { plain, parsing, prefix, suffix } = this.#parts;
    const wellFormed = replaceLoneSurrogates(text);
    const encoder = options.parseSpecial === true ? parsing() : plain;
    const ids = wellFormed === "" ? [] : encoder.encode(wellFormed, options.continues === true);
    const all = options.addSpecialTokens === false ? ids : [...prefix, ...ids, ...suffix];
    for (const id of all) if (id >= this.vocabSize) throw this.#beyond(id);
    return all;
  }

  /**
   * Token ids that ask for what stands between two texts, in the order of the model's own documentation, behind its start
   * token if it has one. The second text goes on another, so that nothing is put in front of it. Tokens that are written in the
   * texts are plain text, those that ask for a middle included.
   * @throws LastrowError `model_unsupported` where `infillTokens` is null; as `encode`
   */
  encodeInfill(before: string, after: string): number[] {
    for (const text of [before, after]) {
      if (typeof text !== "string")
        throw invalidArgument(`encodeInfill takes two texts, not ${shown(text)}.`);
    }
    const { infill, infilling, prefix } = this.#parts;
    if (infill.tokens === null) {
      throw new LastrowError(
        "model_unsupported",
        `There is no way to ask for the middle of a text: the tokenizer ${infill.missing}.`,
      );
    }
    const encoders = infilling();
    const idsOf = (part: "before" | "after", text: string) =>
      text === "" ? [] : encoders[part].encode(replaceLoneSurrogates(text), part === "after");
    const all = [...prefix, ...infillPrompt(infill.tokens, idsOf("before", before), idsOf("after", after))];
    for (const id of all) if (id >= this.vocabSize) throw this.#beyond(id);
    return all;
  }

  /**
   * Text of token ids: their bytes joined and read as UTF-8, where bytes that are not a character become U+FFFD (of tokens
   * that stand for single bytes, each its own). Spaces are not cleaned up. Ids that the model has and the tokenizer has not
   * stand for nothing.
   * @throws LastrowError `token_out_of_range`, `invalid_argument` for anything but a list of ids
   */
  decode(ids: readonly number[], options: DecodeOptions = {}): string {
    if (!isListOfIds(ids)) throw invalidArgument(`decode takes a list of token ids, not ${shown(ids)}.`);
    checkOptions(options, DECODE_OPTIONS);
    const { decoder } = this.#parts;
    const parts = this.#kept([...ids], options).map(textBytes(decoder));
    const bytes = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
    let at = 0;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    const text = utf8Text(decoder.replacesEachByte);
    return text.push(bytes) + text.flush();
  }

  /** One text as its tokens arrive. `push` throws LastrowError `token_out_of_range`, and then nothing has changed. */
  stream(options: StreamOptions = {}): TextStream {
    checkOptions(options, STREAM_OPTIONS);
    const { decoder } = this.#parts;
    const next = textBytes(decoder, options.continues === true);
    const text = utf8Text(decoder.replacesEachByte);
    return {
      push: (id) => {
        const [kept] = this.#kept([id], options);
        return kept === undefined ? "" : text.push(next(kept));
      },
      flush: () => text.flush(),
    };
  }

  /**
   * Whether what is generated behind a prompt goes on its text, for `stream`. It begins a text of its own where there is no
   * prompt, and behind a special token: encoding puts a space in front of a word there, too, if it does so at all. But a
   * middle goes on the text before it.
   */
  continues(prompt: readonly number[]): boolean {
    const last = prompt.at(-1);
    if (last === undefined) return false;
    return !this.isSpecial(last) || last === this.infillTokens?.middle;
  }

  /**
   * The bytes that one token adds to a text, other than at its start.
   * @throws LastrowError `token_out_of_range`
   */
  tokenBytes(id: number): Uint8Array {
    this.#check(id);
    return this.#parts.decoder.bytesOf(id, false);
  }

  /**
   * One token for people: its text, with bytes that are no character of their own as `\xE4`.
   * @throws LastrowError `token_out_of_range`
   */
  tokenText(id: number): string {
    const bytes = this.tokenBytes(id);
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      return Array.from(bytes, (byte) =>
        byte >= 0x20 && byte < 0x7f
          ? String.fromCharCode(byte)
          : `\\x${byte.toString(16).toUpperCase().padStart(2, "0")}`,
      ).join("");
    }
  }

  /** Whether an id is a special token: a start, an end, anything that stands for no text. */
  isSpecial(id: number): boolean {
    return this.#specialIds.has(id);
  }

  /** For a token that was added to the tokenizer, and for which the model has no row. */
  #beyond(id: number): LastrowError {
    const text = new TextDecoder().decode(this.#parts.decoder.bytesOf(id, false));
    return new LastrowError(
      "token_out_of_range",
      `The text uses ${shown(text)}, which the tokenizer has as token ${id}; this model's are 0 to ${this.vocabSize - 1}.`,
    );
  }

  #kept(ids: readonly number[], { skipSpecialTokens = true }: DecodeOptions): readonly number[] {
    for (const id of ids) this.#check(id);
    return skipSpecialTokens ? ids.filter((id) => !this.isSpecial(id)) : ids;
  }

  #check(id: number): void {
    const { vocabSize } = this.#parts;
    if (Number.isInteger(id) && id >= 0 && id < vocabSize) return;
    throw new LastrowError(
      "token_out_of_range",
      `${shown(id)} is not a token id; this model's are 0 to ${vocabSize - 1}.`,
    );
  }
}
