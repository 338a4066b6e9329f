/** Tokens as OpenAI's answers show them, and log-probabilities in the two forms that they have there. */
import type { GeneratedLogprobs, TokenLogprob } from "../sampling/logprobs.js";
import type { TextStream, Tokenizer } from "../tokenizer/tokenizer.js";
import type { ChatLogprobsBody } from "./schemas/chat.js";
import type { CompletionLogprobsBody } from "./schemas/completions.js";

/** Made once: an answer may show a hundred thousand tokens. It keeps nothing from one text to the next. */
const STRICT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * A token's text; `bytes:\xe4` where its bytes are no text; `token_id:7` for a token without text: the tokenizer
 * does not have it, or there is no tokenizer.
 */
export function tokenText(tokenizer: Tokenizer | null, id: number): string {
  const piece = tokenizer === null ? "" : tokenPiece(tokenizer, id);
  if (piece === "") return tokenIdText(id);
  if (typeof piece === "string") return piece;
  return `bytes:${piece.map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}`;
}

/** A token's text, or its bytes where they are none; llama.cpp's `piece`. */
export function tokenPiece(tokenizer: Tokenizer, id: number): string | number[] {
  const bytes = tokenizer.tokenBytes(id);
  try {
    return STRICT.decode(bytes);
  } catch {
    return [...bytes];
  }
}

function tokenIdText(id: number): string {
  return `token_id:${id}`;
}

/** Tokens and alternatives that are shown in one turn of the event loop: a few milliseconds. */
const SHOWN_PER_TURN = 512;

/**
 * Tokens as they are shown, so many at a time as one turn of the event loop shows.
 * @param alternatives to each
 * @returns what `show` makes of some after the other; of none, once
 */
export function* shownPerTurn<Token, Shown>(
  scored: readonly Token[],
  alternatives: number,
  show: (some: readonly Token[]) => Shown,
): Generator<Shown> {
  const count = Math.max(1, Math.floor(SHOWN_PER_TURN / (1 + alternatives)));
  for (let from = 0; from === 0 || from < scored.length; from += count) {
    yield show(scored.slice(from, from + count));
  }
}

/** A token and its log-probability; null where a prompt's first token has none. */
export interface ScoredToken {
  readonly token: number;
  readonly logprob: number | null;
  readonly top: readonly TokenLogprob[] | null;
}

/** OpenAI's `logprobs` of completions. Counts the characters of one choice, from its beginning on. */
export class CompletionLogprobs {
  readonly #tokenizer: Tokenizer | null;
  readonly #text: TextStream | null;
  /** Unicode characters of the text so far, in which special tokens do not appear. */
  #offset = 0;

  /** @param before the tokens before the first that is shown */
  constructor(tokenizer: Tokenizer | null, before: readonly number[]) {
    this.#tokenizer = tokenizer;
    this.#text = tokenizer?.stream({ continues: tokenizer.continues(before) }) ?? null;
  }

  body(tokens: readonly ScoredToken[]): CompletionLogprobsBody {
    const shown = (id: number) => tokenText(this.#tokenizer, id);
    const offsets = tokens.map(({ token }) => {
      const at = this.#offset;
      for (const _ of this.#text?.push(token) ?? "") this.#offset += 1;
      return at;
    });
    return {
      tokens: tokens.map(({ token }) => shown(token)),
      token_logprobs: tokens.map(({ logprob }) => logprob),
      top_logprobs: tokens.map(({ token, logprob, top }) =>
        top === null || logprob === null ? null : byText(withToken(top, { token, logprob }), shown),
      ),
      text_offset: offsets,
    };
  }
}

/** The likeliest tokens, and the chosen one if it is not among them: so there may be one more. */
function withToken(top: readonly TokenLogprob[], chosen: TokenLogprob): readonly TokenLogprob[] {
  return top.some(({ token }) => token === chosen.token) ? top : [...top, chosen];
}

/** By text; of two tokens with the same, the less likely one has its id for a name. */
function byText(entries: readonly TokenLogprob[], shown: (id: number) => string): Record<string, number> {
  const named = new Map<string, number>();
  for (const { token, logprob } of entries) {
    const text = shown(token);
    named.set(named.has(text) ? tokenIdText(token) : text, logprob);
  }
  return Object.fromEntries(named);
}

/**
 * OpenAI's `logprobs` of chats.
 * @param count alternatives that were asked for; 0: none are shown
 */
export function chatLogprobs(
  tokenizer: Tokenizer | null,
  entries: readonly GeneratedLogprobs[],
  count: number,
): ChatLogprobsBody {
  const shown = ({ token, logprob }: TokenLogprob) => ({
    token: tokenText(tokenizer, token),
    logprob,
    bytes: tokenizer === null ? null : [...tokenizer.tokenBytes(token)],
  });
  return {
    content: entries.map((entry) => ({
      ...shown(entry),
      top_logprobs: count === 0 ? [] : withToken(entry.top, entry).map(shown),
    })),
  };
}
