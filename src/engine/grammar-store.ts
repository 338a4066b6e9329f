/**
 * The grammars that generations are held to, and the vocabulary that they share. A grammar's states and masks stay for the
 * next request with it: those of one tenant are not shared with another, since how long a mask takes would tell.
 */
import { TokenGrammar } from "../grammar/grammar-constraint.js";
import { type PackedGrammar, unpackGrammar } from "../grammar/packed-grammar.js";
import type { TokenVocabulary } from "../grammar/token-vocabulary.js";

/** Most grammars that are kept: each may have some megabytes of masks. */
const MAX_GRAMMARS = 32;

export class GrammarStore {
  readonly #grammars = new Map<string, TokenGrammar>();
  readonly #vocabulary: TokenVocabulary;

  constructor(vocabulary: TokenVocabulary) {
    this.#vocabulary = vocabulary;
  }

  /** @param key equal for equal grammars of one tenant, and only for them */
  grammar(key: string, grammar: PackedGrammar): TokenGrammar {
    const kept = this.#grammars.get(key) ?? new TokenGrammar(unpackGrammar(grammar), this.#vocabulary);
    // Used last, forgotten last.
    this.#grammars.delete(key);
    this.#grammars.set(key, kept);
    const [oldest] = this.#grammars.keys();
    if (this.#grammars.size > MAX_GRAMMARS) this.#grammars.delete(oldest);
    return kept;
  }
}
