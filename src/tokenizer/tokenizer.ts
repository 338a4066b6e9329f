/**
 * Text to token ids and back. The encoding itself is Hugging Face's library; what is ours: special tokens written in a
 * text are plain text unless asked for, decoding by bytes, and streaming that never emits half a character.
 *
 * Lone surrogates count as U+FFFD, as in any UTF-8 encoder.
 */
import { LastrowError } from "../errors.js";

/** An encoder of Hugging Face's library, or one like it. */
export interface PieceEncoder {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] };
}

/** How ids become text. */
export type PieceDecoder =
  /** Every id stands for bytes: byte-level vocabularies, such as GPT-2's. */
  | { readonly kind: "bytes"; bytesOf(id: number): Uint8Array }
  /** Only whole sequences have a text. */
  | { readonly kind: "text"; decode(ids: number[]): string };

export interface TokenizerParts {
  /** Reads the text as plain text. */
  readonly plain: PieceEncoder;
  /** Reads special tokens written in the text as such; made when it is first needed. */
  readonly parsing: () => PieceEncoder;
  /** Special tokens that the post-processor puts around a text. */
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
  readonly decoder: PieceDecoder;
  /** By id; ids without a piece are absent. */
  readonly pieces: ReadonlyMap<number, string>;
  readonly specialIds: ReadonlySet<number>;
  readonly bosTokenId: number | null;
  readonly eosTokenId: number | null;
  /** Ids of the model are below it. */
  readonly vocabSize: number;
}

export interface EncodeOptions {
  /** Whether the post-processor's tokens (a start token, say) are added. Default true. */
  readonly addSpecialTokens?: boolean | undefined;
  /** Whether special tokens written in the text count as such. Default false: they are plain text. */
  readonly parseSpecial?: boolean | undefined;
}

export interface DecodeOptions {
  /** Whether special tokens are left out of the text. Default true. */
  readonly skipSpecialTokens?: boolean | undefined;
}

/** Text that becomes final, token by token. All that `push` and `flush` give, joined, is the whole decoded at once. */
export interface TextStream {
  /** Takes a token; returns the text that is final now, in whole characters. */
  push(id: number): string;
  /** Ends the text: bytes that never became a character are U+FFFD. */
  flush(): string;
}

export class Tokenizer {
  readonly #parts: TokenizerParts;

  /** Made by `loadTokenizer`. */
  constructor(parts: TokenizerParts) {
    this.#parts = parts;
  }

  /** The token that starts a text, or null. */
  get bosTokenId(): number | null {
    return this.#parts.bosTokenId;
  }

  /** The token that ends a text, or null. */
  get eosTokenId(): number | null {
    return this.#parts.eosTokenId;
  }

  /** Number of ids of the model; a tokenizer may use fewer. */
  get vocabSize(): number {
    return this.#parts.vocabSize;
  }

  /** Token ids of a text. */
  encode(text: string, options: EncodeOptions = {}): number[] {
    const { plain, parsing, prefix, suffix } = this.#parts;
    const encoder = options.parseSpecial === true ? parsing() : plain;
    const wellFormed = text.replace(/\p{Surrogate}/gu, "\uFFFD");
    const ids = wellFormed === "" ? [] : encoder.encode(wellFormed, { add_special_tokens: false }).ids;
    return options.addSpecialTokens === false ? ids : [...prefix, ...ids, ...suffix];
  }

  /**
   * Text of token ids, without any clean-up; bytes that make no character are U+FFFD.
   * @throws LastrowError `token_out_of_range`
   */
  decode(ids: readonly number[], options: DecodeOptions = {}): string {
    const { decoder } = this.#parts;
    const kept = this.#kept(ids, options);
    if (decoder.kind === "text") return kept.length === 0 ? "" : decoder.decode(kept);
    const text = utf8Decoder();
    return kept.map((id) => text.decode(decoder.bytesOf(id), { stream: true })).join("") + text.decode();
  }

  /** Text as tokens arrive. */
  stream(options: DecodeOptions = {}): TextStream {
    const { decoder } = this.#parts;
    if (decoder.kind === "text") return new WholeTextStream((ids) => this.decode(ids, options));
    const text = utf8Decoder();
    return {
      push: (id) =>
        this.#kept([id], options)
          .map((kept) => text.decode(decoder.bytesOf(kept), { stream: true }))
          .join(""),
      flush: () => text.decode(),
    };
  }

  /**
   * One token for people: its text, with bytes that are no character of their own as `\xE4`.
   * @throws LastrowError `token_out_of_range`
   */
  tokenText(id: number): string {
    const [known] = this.#kept([id], { skipSpecialTokens: false });
    const { decoder, pieces } = this.#parts;
    if (decoder.kind === "text") return pieces.get(known) ?? "";
    const bytes = decoder.bytesOf(known);
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
    return this.#parts.specialIds.has(id);
  }

  #kept(ids: readonly number[], { skipSpecialTokens = true }: DecodeOptions): number[] {
    const { vocabSize, specialIds } = this.#parts;
    for (const id of ids) {
      if (Number.isInteger(id) && id >= 0 && id < vocabSize) continue;
      throw new LastrowError(
        "token_out_of_range",
        `${id} is no token id; this model's are 0 to ${vocabSize - 1}.`,
      );
    }
    return skipSpecialTokens ? ids.filter((id) => !specialIds.has(id)) : [...ids];
  }
}

function utf8Decoder(): TextDecoder {
  // A byte order mark is text like any other.
  return new TextDecoder("utf-8", { ignoreBOM: true });
}

/** For decoders that only know whole sequences: decodes all again and emits what is new and certain. */
class WholeTextStream implements TextStream {
  readonly #decode: (ids: readonly number[]) => string;
  readonly #ids: number[] = [];
  #emitted = 0;

  constructor(decode: (ids: readonly number[]) => string) {
    this.#decode = decode;
  }

  push(id: number): string {
    this.#ids.push(id);
    const text = this.#decode(this.#ids);
    // Characters that are not complete yet show as U+FFFD at the end.
    const end = text.length - (/\uFFFD+$/.exec(text)?.[0].length ?? 0);
    return this.#take(text, Math.max(end, this.#emitted));
  }

  flush(): string {
    const text = this.#decode(this.#ids);
    return this.#take(text, text.length);
  }

  #take(text: string, end: number): string {
    const added = text.slice(this.#emitted, end);
    this.#emitted = end;
    return added;
  }
}
