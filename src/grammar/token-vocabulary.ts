/**
 * A vocabulary, ready for grammars: the tree of its tokens, and what the automata of plain JSON strings, and others that
 * are named, reach in it. Most grammars have those, and a walk of one through a large tree takes as long as all else of a mask.
 */
import { type AutomatonReaches, reachesOf } from "./automaton-reach.js";
import { SCHEMA_LIMITS } from "./json-schema/schema-limits.js";
import { ANY_STRING, SchemaStrings } from "./json-schema/strings.js";
import type { CommonAutomaton } from "./reach-passes.js";
import { inSharedMemory } from "./shared-memory.js";
import { type TokenBytes, type TokenTrie, tokenTrie } from "./token-trie.js";
import { Work } from "./work.js";

export interface TokenVocabulary {
  readonly trie: TokenTrie;
  readonly reaches: readonly AutomatonReaches[];
}

/** @param common more automata that many grammars have, and that tell nothing of any of them */
export function tokenVocabulary(bytes: TokenBytes, common: readonly CommonAutomaton[] = []): TokenVocabulary {
  const trie = tokenTrie(bytes);
  const strings = new SchemaStrings(SCHEMA_LIMITS, new Work());
  const anyString = strings.string(ANY_STRING);
  const automata = [
    { dfa: strings.character(), repeats: true },
    ...(anyString === null ? [] : [{ dfa: anyString, repeats: false }]),
    ...common,
  ];
  return inSharedMemory({ trie, reaches: automata.map((one) => reachesOf(trie, one)) });
}
