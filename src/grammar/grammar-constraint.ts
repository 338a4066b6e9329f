/**
 * A text that is held to a grammar, token by token, and what texts of one grammar share: its states and masks. Nothing of a
 * text is kept but its state, so that as many as wanted may go on from one.
 */
import type { AllowedTokens, TokenConstraint } from "../sampling/allowed-tokens.js";
import type { Grammar } from "./grammar.js";
import { type GrammarState, GrammarStates } from "./grammar-state.js";
import { TokenMasks } from "./token-mask.js";
import { bytesOfToken } from "./token-trie.js";
import type { TokenVocabulary } from "./token-vocabulary.js";

/** A grammar over a vocabulary. */
export class TokenGrammar {
  readonly #states: GrammarStates;
  readonly #masks: TokenMasks;

  constructor(grammar: Grammar, { trie, reaches }: TokenVocabulary) {
    this.#states = new GrammarStates(grammar);
    this.#masks = new TokenMasks(this.#states, trie, reaches);
  }

  /**
   * A text's own constraint, at its beginning.
   * @param endTokenIds tokens that end a text; allowed where it is whole
   */
  constraint(endTokenIds: readonly number[]): TokenConstraint {
    return new GrammarConstraint(this.#states, this.#masks, endTokenIds);
  }
}

class GrammarConstraint implements TokenConstraint {
  readonly #states: GrammarStates;
  readonly #masks: TokenMasks;
  readonly #endTokenIds: readonly number[];
  #state: GrammarState;
  #allowed: AllowedTokens | null = null;

  constructor(states: GrammarStates, masks: TokenMasks, endTokenIds: readonly number[]) {
    this.#states = states;
    this.#masks = masks;
    this.#endTokenIds = endTokenIds;
    this.#state = states.first;
  }

  get allowed(): AllowedTokens | null {
    return this.#allowed;
  }

  get isOver(): boolean {
    const { ways, mayEnd } = this.#states.open(this.#state);
    return mayEnd && ways.length === 0;
  }

  prepare(fuel: number): boolean {
    if (this.#allowed !== null) return true;
    const mask = this.#masks.mask(this.#state, fuel);
    if (mask === null) return false;
    const { mayEnd } = this.#states.open(this.#state);
    this.#allowed = { mask, endTokenIds: this.#endTokenIds, mayEnd };
    return true;
  }

  accept(token: number): void {
    const state = this.#states.advance(this.#state, bytesOfToken(this.#masks.trie, token));
    if (state === null) throw new Error(`token ${token} does not fit the grammar`);
    this.#state = state;
    this.#allowed = null;
  }
}
