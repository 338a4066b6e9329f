/** Tokens as OpenAI's answers show them, and log-probabilities in the two forms that they have there. */
import type { GeneratedLogprobs } from "../engine/generation-request.js";
import type { TokenLogprob } from "../sampling/logprobs.js";
import type { TextStream, Tokenizer } from "../tokenizer/tokenizer.js";
import type { ChatLogprobsBody } from "./schemas/chat.js";
import type { CompletionLogprobsBody } from "./schemas/completions.js";

/** A token's text; `bytes:\xe4` where its bytes are no text; `token_id:7` for a model without a tokenizer. */
export function tokenText(tokenizer: Tokenizer | null, id: number): string {
  if (tokenizer === null) return `token_id:${id}`;
  const bytes = tokenizer.tokenBytes(id);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return `bytes:${Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}`;
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

  constructor(tokenizer: Tokenizer | null) {
    this.#tokenizer = tokenizer;
    this.#text = tokenizer?.stream() ?? null;
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
      top_logprobs: tokens.map(({ top }) =>
        top === null ? null : Object.fromEntries(top.map(({ token, logprob }) => [shown(token), logprob])),
      ),
      text_offset: offsets,
    };
  }
}

/** OpenAI's `logprobs` of chats. */
export function chatLogprobs(
  tokenizer: Tokenizer | null,
  entries: readonly GeneratedLogprobs[],
): ChatLogprobsBody {
  const shown = ({ token, logprob }: TokenLogprob) => ({
    token: tokenText(tokenizer, token),
    logprob,
    bytes: tokenizer === null ? null : [...tokenizer.tokenBytes(token)],
  });
  return { content: entries.map((entry) => ({ ...shown(entry), top_logprobs: entry.top.map(shown) })) };
}
